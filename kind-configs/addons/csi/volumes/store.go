// Package volumes holds what is stored: one folder per volume below a root that every node of the
// cluster sees. The folder is also the memory of the driver, so that a restart forgets nothing:
//
//	<root>/nodes/<node>                nodes whose plugin sees this root
//	<root>/volumes/<id>/volume.json    what was asked for when the volume was made
//	<root>/volumes/<id>/attached/<node>
//	<root>/volumes/<id>/data/          what pods see
//
// Who may call, how long a call takes and how folders are mounted is not decided here.
package volumes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
)

var (
	// ErrNotFound is returned for a volume that does not exist.
	ErrNotFound = errors.New("volume not found")
	// ErrUnknownNode is returned for a node whose plugin never registered in this root.
	ErrUnknownNode = errors.New("no node plugin of that name has registered in the shared folder")
	// ErrConflict is returned when a volume of that name exists with other properties.
	ErrConflict = errors.New("a volume of that name exists with other properties")
	// ErrInUse is returned when a volume that is still attached is to be deleted.
	ErrInUse = errors.New("volume is still attached")
)

// AttachedElsewhereError is the refusal that makes a volume behave like a disk: one node at a time.
type AttachedElsewhereError struct {
	ID   string
	Node string
}

func (e *AttachedElsewhereError) Error() string {
	return fmt.Sprintf("volume %s is attached to node %s and can be attached to one node at a time", e.ID, e.Node)
}

// Volume is what was asked for when the volume was made.
type Volume struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	CapacityBytes int64  `json:"capacityBytes"`
	// Shared volumes may be attached to several nodes at once (ReadWriteMany).
	Shared         bool   `json:"shared"`
	ClaimNamespace string `json:"claimNamespace,omitempty"`
	Claim          string `json:"claim,omitempty"`
}

var safe = regexp.MustCompile(`^[a-z0-9][-.a-z0-9]{0,62}$`)

// IDOf gives the one ID that a volume of this name has, so that creation is idempotent.
func IDOf(name string) string {
	if safe.MatchString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "vol-" + hex.EncodeToString(sum[:16])
}

// Store is used by one controller and by one plugin on each node at the same time: the controller
// alone creates, deletes, attaches and detaches; nodes read, and register themselves.
type Store struct {
	root string
	mu   sync.Mutex
}

// Open makes the folders below root where they are missing. The root itself must exist: a root
// made by us would be private to this node.
func Open(root string) (*Store, error) {
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("the shared folder %s is missing: create the cluster with an extraMount for it on every node", root)
	}
	for _, name := range []string{"nodes", "volumes"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return nil, err
		}
	}
	return &Store{root: root}, nil
}

// RegisterNode tells the controller, through the shared folder, that this node sees it.
func (s *Store) RegisterNode(node string) error {
	if !safe.MatchString(node) {
		return fmt.Errorf("node name %q cannot be used as a file name", node)
	}
	return os.WriteFile(filepath.Join(s.root, "nodes", node), nil, 0o644)
}

// Create makes a volume, or returns the one that was made by an equal call before.
func (s *Store) Create(v Volume) (Volume, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.ID = IDOf(v.Name)
	switch existing, err := s.Get(v.ID); {
	case err == nil && existing == v:
		return existing, nil
	case err == nil:
		return Volume{}, fmt.Errorf("%w: have %+v, asked %+v", ErrConflict, existing, v)
	case !errors.Is(err, ErrNotFound):
		return Volume{}, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return Volume{}, err
	}
	// Made aside and renamed, so that no reader meets half a volume.
	aside := filepath.Join(s.root, "volumes", ".new-"+v.ID)
	if err := os.RemoveAll(aside); err != nil {
		return Volume{}, err
	}
	for _, name := range []string{"attached", "data"} {
		if err := os.MkdirAll(filepath.Join(aside, name), 0o755); err != nil {
			return Volume{}, err
		}
	}
	if err := os.WriteFile(filepath.Join(aside, "volume.json"), text, 0o644); err != nil {
		return Volume{}, err
	}
	return v, os.Rename(aside, s.dir(v.ID))
}

// Get reads a volume, or ErrNotFound.
func (s *Store) Get(id string) (Volume, error) {
	if !safe.MatchString(id) {
		return Volume{}, ErrNotFound
	}
	text, err := os.ReadFile(filepath.Join(s.dir(id), "volume.json"))
	if errors.Is(err, os.ErrNotExist) {
		return Volume{}, ErrNotFound
	}
	if err != nil {
		return Volume{}, err
	}
	var v Volume
	if err := json.Unmarshal(text, &v); err != nil {
		return Volume{}, fmt.Errorf("volume %s: %w", id, err)
	}
	return v, nil
}

// Delete removes a volume and its data; one that is already gone is no error.
func (s *Store) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.Get(id); errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	nodes, err := s.Attached(id)
	if err != nil {
		return err
	}
	if len(nodes) > 0 {
		return fmt.Errorf("%w: to %v", ErrInUse, nodes)
	}
	// Renamed first, so that a removal that is cut short leaves no half volume behind.
	aside := filepath.Join(s.root, "volumes", ".old-"+id)
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Rename(s.dir(id), aside); err != nil {
		return err
	}
	return os.RemoveAll(aside)
}

// Attach notes that the volume is at a node; a volume that is not shared is refused a second one.
func (s *Store) Attach(id, node string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	volume, err := s.Get(id)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.root, "nodes", node)); !safe.MatchString(node) || err != nil {
		return fmt.Errorf("node %s: %w", node, ErrUnknownNode)
	}
	nodes, err := s.Attached(id)
	if err != nil {
		return err
	}
	if slices.Contains(nodes, node) {
		return nil
	}
	if len(nodes) > 0 && !volume.Shared {
		return &AttachedElsewhereError{ID: id, Node: nodes[0]}
	}
	return os.WriteFile(filepath.Join(s.dir(id), "attached", node), nil, 0o644)
}

// Detach notes that the volume has left a node (or every node, if node is empty); a volume or an
// attachment that is already gone is no error.
func (s *Store) Detach(id, node string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes, err := s.Attached(id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, attached := range nodes {
		if node == "" || attached == node {
			if err := os.Remove(filepath.Join(s.dir(id), "attached", attached)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Attached lists the nodes that the volume is attached to, sorted by name.
func (s *Store) Attached(id string) ([]string, error) {
	if !safe.MatchString(id) {
		return nil, ErrNotFound
	}
	entries, err := os.ReadDir(filepath.Join(s.dir(id), "attached"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	nodes := make([]string, 0, len(entries))
	for _, entry := range entries {
		nodes = append(nodes, entry.Name())
	}
	return nodes, nil
}

// Data is the folder that pods see.
func (s *Store) Data(id string) string { return filepath.Join(s.dir(id), "data") }

func (s *Store) dir(id string) string { return filepath.Join(s.root, "volumes", id) }
