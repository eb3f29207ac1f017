// Package faults decides how long a call is held and whether it is refused. A fault is scoped to
// the claims of one namespace or to one volume, and expires by itself. Where faults come from is
// not known here (see package kube), nor what the calls do.
package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Operation is what the cluster asks of the driver; one CSI call each.
type Operation string

// The operations, in the order in which a volume meets them.
const (
	Provision Operation = "provision"
	Attach    Operation = "attach"
	Stage     Operation = "stage"
	Mount     Operation = "mount"
	Unmount   Operation = "unmount"
	Unstage   Operation = "unstage"
	Detach    Operation = "detach"
	Delete    Operation = "delete"
)

var operations = []Operation{Provision, Attach, Stage, Mount, Unmount, Unstage, Detach, Delete}

// Target is what a call is about.
type Target struct {
	Operation      Operation `json:"operation"`
	Volume         string    `json:"volume"`
	Node           string    `json:"node,omitempty"`
	ClaimNamespace string    `json:"claimNamespace,omitempty"`
	Claim          string    `json:"claim,omitempty"`
}

// Fault is one entry of the ConfigMap. An empty Claim, Volume or Node matches every one.
type Fault struct {
	ID             string
	ClaimNamespace string
	Claim          string
	Volume         string
	Node           string
	Operation      Operation
	Delay          time.Duration
	Refuse         string
	Code           codes.Code
	Expires        time.Time
}

// entry is Fault as it is written; unknown fields are refused, so that a typing error is seen.
type entry struct {
	ClaimNamespace string     `json:"claimNamespace,omitempty"`
	Claim          string     `json:"claim,omitempty"`
	Volume         string     `json:"volume,omitempty"`
	Node           string     `json:"node,omitempty"`
	Operation      Operation  `json:"operation"`
	Delay          string     `json:"delay,omitempty"`
	Refuse         string     `json:"refuse,omitempty"`
	Code           string     `json:"code,omitempty"`
	Expires        *time.Time `json:"expires"`
}

// refusals are the codes that a driver may refuse with; the first is used when none is named.
var refusals = []codes.Code{
	codes.Unavailable, codes.Internal, codes.Aborted, codes.FailedPrecondition,
	codes.ResourceExhausted, codes.DeadlineExceeded,
}

// Parse reads one entry. Every mistake is an error: a fault that is half understood would be one
// that does something else than was asked.
func Parse(id, text string) (Fault, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	var e entry
	if err := decoder.Decode(&e); err != nil {
		return Fault{}, err
	}
	f := Fault{
		ID: id, ClaimNamespace: e.ClaimNamespace, Claim: e.Claim, Volume: e.Volume, Node: e.Node,
		Operation: e.Operation, Refuse: e.Refuse, Code: refusals[0],
	}
	if f.ClaimNamespace == "" && f.Volume == "" {
		return Fault{}, errors.New("neither claimNamespace nor volume is given: the fault would hit every volume")
	}
	if f.Claim != "" && f.ClaimNamespace == "" {
		return Fault{}, errors.New("claim needs claimNamespace")
	}
	if !slices.Contains(operations, f.Operation) {
		return Fault{}, fmt.Errorf("operation %q is none of %v", f.Operation, operations)
	}
	if e.Delay != "" {
		delay, err := time.ParseDuration(e.Delay)
		if err != nil || delay <= 0 {
			return Fault{}, fmt.Errorf("delay %q is not a positive duration such as 30s", e.Delay)
		}
		f.Delay = delay
	}
	if f.Delay == 0 && f.Refuse == "" {
		return Fault{}, errors.New("neither delay nor refuse is given: the fault would do nothing")
	}
	if e.Code != "" {
		index := slices.IndexFunc(refusals, func(c codes.Code) bool { return strings.EqualFold(c.String(), e.Code) })
		if index < 0 {
			return Fault{}, fmt.Errorf("code %q is none of %v", e.Code, refusals)
		}
		f.Code = refusals[index]
	}
	if e.Expires == nil {
		return Fault{}, errors.New("expires is missing: a fault must end by itself")
	}
	f.Expires = *e.Expires
	return f, nil
}

// MarshalJSON writes the fault as it was asked, with its id.
func (f Fault) MarshalJSON() ([]byte, error) {
	e := struct {
		ID string `json:"id"`
		entry
	}{ID: f.ID, entry: entry{
		ClaimNamespace: f.ClaimNamespace, Claim: f.Claim, Volume: f.Volume, Node: f.Node,
		Operation: f.Operation, Refuse: f.Refuse, Expires: &f.Expires,
	}}
	if f.Delay > 0 {
		e.Delay = f.Delay.String()
	}
	if f.Refuse != "" {
		e.Code = f.Code.String()
	}
	return json.Marshal(e)
}

// hits tells whether the fault is about this call.
func (f Fault) hits(t Target) bool {
	same := func(asked, have string) bool { return asked == "" || asked == have }
	return f.Operation == t.Operation && same(f.ClaimNamespace, t.ClaimNamespace) &&
		same(f.Claim, t.Claim) && same(f.Volume, t.Volume) && same(f.Node, t.Node)
}
