package volumes

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func open(t *testing.T, root string) *Store {
	t.Helper()
	store, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"node-a", "node-b"} {
		if err := store.RegisterNode(node); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

func create(t *testing.T, store *Store, v Volume) Volume {
	t.Helper()
	made, err := store.Create(v)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestAVolumeIsAtOneNodeAtATimeAlsoAfterARestart(t *testing.T) {
	root := t.TempDir()
	volume := create(t, open(t, root), Volume{Name: "pvc-1", CapacityBytes: 1})
	if err := open(t, root).Attach(volume.ID, "node-a"); err != nil {
		t.Fatal(err)
	}
	restarted := open(t, root)
	if err := restarted.Attach(volume.ID, "node-a"); err != nil {
		t.Errorf("the same node again: %v", err)
	}
	var elsewhere *AttachedElsewhereError
	if err := restarted.Attach(volume.ID, "node-b"); !errors.As(err, &elsewhere) || elsewhere.Node != "node-a" {
		t.Errorf("a second node: %v", err)
	}
	if err := restarted.Delete(volume.ID); !errors.Is(err, ErrInUse) {
		t.Errorf("deleting what is attached: %v", err)
	}
	for range 2 {
		if err := restarted.Detach(volume.ID, "node-a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := restarted.Attach(volume.ID, "node-b"); err != nil {
		t.Errorf("after the detach: %v", err)
	}
}

func TestASharedVolumeIsAtManyNodes(t *testing.T) {
	store := open(t, t.TempDir())
	volume := create(t, store, Volume{Name: "pvc-1", Shared: true})
	for _, node := range []string{"node-a", "node-b"} {
		if err := store.Attach(volume.ID, node); err != nil {
			t.Fatal(err)
		}
	}
	if nodes, err := store.Attached(volume.ID); err != nil || !slices.Equal(nodes, []string{"node-a", "node-b"}) {
		t.Errorf("%v %v", nodes, err)
	}
	if err := store.Detach(volume.ID, ""); err != nil {
		t.Fatal(err)
	}
	if nodes, err := store.Attached(volume.ID); err != nil || len(nodes) > 0 {
		t.Errorf("after a detach from every node: %v %v", nodes, err)
	}
}

func TestANodeThatDoesNotSeeTheFolderIsRefused(t *testing.T) {
	store := open(t, t.TempDir())
	volume := create(t, store, Volume{Name: "pvc-1"})
	for _, node := range []string{"node-c", "../nodes/node-a", ""} {
		if err := store.Attach(volume.ID, node); !errors.Is(err, ErrUnknownNode) {
			t.Errorf("node %q: %v", node, err)
		}
	}
}

func TestDeletingRemovesTheData(t *testing.T) {
	root := t.TempDir()
	store := open(t, root)
	volume := create(t, store, Volume{Name: "pvc-1"})
	if err := os.WriteFile(filepath.Join(store.Data(volume.ID), "x"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Delete(volume.ID); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(root, "volumes")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestIDsStayInsideTheRoot(t *testing.T) {
	store := open(t, t.TempDir())
	for _, name := range []string{"../../etc", strings.Repeat("x", 128), "Upper/Case", "."} {
		volume := create(t, store, Volume{Name: name})
		if filepath.Dir(store.dir(volume.ID)) != filepath.Join(store.root, "volumes") {
			t.Errorf("%q became %q", name, volume.ID)
		}
		if again := create(t, store, Volume{Name: name}); again != volume {
			t.Errorf("%q again became %q", name, again.ID)
		}
	}
	if _, err := store.Get("../volumes/x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := store.Create(Volume{Name: ".", CapacityBytes: 7}); !errors.Is(err, ErrConflict) {
		t.Errorf("the same name with another size: %v", err)
	}
}

func TestAMissingRootIsNotMade(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "missing")); err == nil || !strings.Contains(err.Error(), "extraMount") {
		t.Errorf("%v", err)
	}
}
