// Package faults decides how long a call is held and whether it is refused. A fault is scoped to
// the claims of one namespace or to one volume, and expires by itself. Where faults come from is
// not known here (see package kube), nor what the calls do.
package faults

import (
	"errors"
	"fmt"
	"slices"
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

// Fault is the content of one ConfigMap; ID is its name. An empty Claim, Volume or Node matches
// every one.
type Fault struct {
	ID             string        `json:"id"`
	ClaimNamespace string        `json:"claimNamespace,omitempty"`
	Claim          string        `json:"claim,omitempty"`
	Volume         string        `json:"volume,omitempty"`
	Node           string        `json:"node,omitempty"`
	Operation      Operation     `json:"operation"`
	Delay          time.Duration `json:"delayNanoseconds,omitempty"`
	Refuse         string        `json:"refuse,omitempty"`
	Code           codes.Code    `json:"code,omitempty"`
	Expires        time.Time     `json:"expires"`
}

// refusals are the codes that a driver may refuse with; the first is used when none is named.
var refusals = []codes.Code{
	codes.Unavailable, codes.Internal, codes.Aborted, codes.FailedPrecondition,
	codes.ResourceExhausted, codes.DeadlineExceeded,
}

// Parse reads the data of a ConfigMap. Every mistake is an error: a fault that is half understood
// would do something else than was asked.
func Parse(id string, data map[string]string) (Fault, error) {
	f := Fault{ID: id, Code: refusals[0]}
	for key, text := range data {
		var err error
		switch key {
		case "claimNamespace":
			f.ClaimNamespace = text
		case "claim":
			f.Claim = text
		case "volume":
			f.Volume = text
		case "node":
			f.Node = text
		case "operation":
			f.Operation = Operation(text)
		case "refuse":
			f.Refuse = text
		case "delay":
			f.Delay, err = time.ParseDuration(text)
			if err != nil || f.Delay <= 0 {
				err = fmt.Errorf("delay %q is not a positive duration such as 30s", text)
			}
		case "code":
			f.Code, err = refusal(text)
		case "expires":
			if f.Expires, err = time.Parse(time.RFC3339, text); err != nil {
				err = fmt.Errorf("expires %q is not a time such as 2030-01-31T12:00:00Z", text)
			}
		default:
			err = fmt.Errorf("%q is no field of a fault", key)
		}
		if err != nil {
			return Fault{}, err
		}
	}
	return f, f.check()
}

func (f Fault) check() error {
	switch {
	case f.ClaimNamespace == "" && f.Volume == "":
		return errors.New("neither claimNamespace nor volume is given: the fault would hit every volume")
	case f.Claim != "" && f.ClaimNamespace == "":
		return errors.New("claim needs claimNamespace")
	case !slices.Contains(operations, f.Operation):
		return fmt.Errorf("operation %q is none of %v", f.Operation, operations)
	case f.Delay == 0 && f.Refuse == "":
		return errors.New("neither delay nor refuse is given: the fault would do nothing")
	case f.Expires.IsZero():
		return errors.New("expires is missing: a fault must end by itself")
	}
	return nil
}

func refusal(text string) (codes.Code, error) {
	index := slices.IndexFunc(refusals, func(c codes.Code) bool { return c.String() == text })
	if index < 0 {
		return 0, fmt.Errorf("code %q is none of %v", text, refusals)
	}
	return refusals[index], nil
}

// hits tells whether the fault is about this call.
func (f Fault) hits(t Target) bool {
	same := func(asked, have string) bool { return asked == "" || asked == have }
	return f.Operation == t.Operation && same(f.ClaimNamespace, t.ClaimNamespace) &&
		same(f.Claim, t.Claim) && same(f.Volume, t.Volume) && same(f.Node, t.Node)
}
