package faults

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var detach = Target{Operation: Detach, Volume: "pv-1", Node: "node-a", ClaimNamespace: "shop", Claim: "files"}

func fault(id string, change func(*Fault)) Fault {
	f := Fault{ID: id, ClaimNamespace: "shop", Operation: Detach, Code: codes.Unavailable, Expires: time.Now().Add(time.Hour)}
	change(&f)
	return f
}

// pass reports how long one call took, what it met and the code of its end.
func pass(gate *Gate, target Target, timeout time.Duration) (time.Duration, []string, codes.Code) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	began := time.Now()
	met, err := gate.Pass(ctx, target)
	return time.Since(began), met, status.Code(err)
}

func TestADelayHoldsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate()
		gate.Set([]Fault{fault("slow", func(f *Fault) { f.Delay = 30 * time.Second })})
		took, met, code := pass(gate, detach, time.Minute)
		if took != 30*time.Second || code != codes.OK || len(met) != 1 || met[0] != "slow" {
			t.Errorf("took %v, met %v, code %v", took, met, code)
		}
		// The next operation on the same volume is a new one.
		if took, _, _ := pass(gate, detach, time.Minute); took != 30*time.Second {
			t.Errorf("the second operation took %v", took)
		}
	})
}

func TestADelayCountsFromTheFirstCallOfAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate()
		gate.Set([]Fault{fault("slow", func(f *Fault) { f.Delay = 40 * time.Second })})
		began := time.Now()
		for attempt := range 2 {
			if took, _, code := pass(gate, detach, 15*time.Second); took != 15*time.Second || code != codes.DeadlineExceeded {
				t.Fatalf("attempt %d took %v and ended with %v", attempt, took, code)
			}
			time.Sleep(time.Second)
		}
		if _, _, code := pass(gate, detach, 15*time.Second); code != codes.OK || time.Since(began) != 40*time.Second {
			t.Errorf("done after %v with %v", time.Since(began), code)
		}
	})
}

func TestOtherCallsAreLetThrough(t *testing.T) {
	gate := NewGate()
	gate.Set([]Fault{
		fault("slow", func(f *Fault) { f.Claim, f.Delay = "files", time.Hour }),
		fault("refused", func(f *Fault) { f.Node, f.Refuse = "node-b", "no" }),
	})
	for _, other := range []Target{
		{Operation: Attach, Volume: "pv-1", Node: "node-a", ClaimNamespace: "shop", Claim: "files"},
		{Operation: Detach, Volume: "pv-2", Node: "node-a", ClaimNamespace: "shop", Claim: "other"},
		{Operation: Detach, Volume: "pv-3", Node: "node-b", ClaimNamespace: "bank", Claim: "files"},
		{Operation: Detach, Volume: "pv-4", Node: "node-b"},
	} {
		if _, met, code := pass(gate, other, time.Second); code != codes.OK || len(met) > 0 {
			t.Errorf("%+v met %v and ended with %v", other, met, code)
		}
	}
}

func TestHealingWakesHeldCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate()
		gate.Set([]Fault{fault("slow", func(f *Fault) { f.Delay = time.Hour })})
		time.AfterFunc(7*time.Second, func() { gate.Set(nil) })
		if took, met, code := pass(gate, detach, 2*time.Hour); took != 7*time.Second || code != codes.OK || len(met) != 1 {
			t.Errorf("took %v, met %v, code %v", took, met, code)
		}
	})
}

func TestAFaultEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate()
		gate.Set([]Fault{
			fault("slow", func(f *Fault) { f.Delay, f.Expires = time.Hour, time.Now().Add(20*time.Second) }),
			fault("refused", func(f *Fault) { f.Refuse, f.Expires = "no", time.Now().Add(10*time.Second) }),
		})
		if took, _, code := pass(gate, detach, 2*time.Hour); took != 20*time.Second || code != codes.OK {
			t.Errorf("took %v and ended with %v", took, code)
		}
		if active := gate.Active(); len(active) != 0 {
			t.Errorf("still active: %v", active)
		}
	})
}

func TestARefusalComesAfterItsDelayWithItsCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate()
		gate.Set([]Fault{fault("refused", func(f *Fault) {
			f.Delay, f.Refuse, f.Code = 5*time.Second, "rate limit exceeded", codes.ResourceExhausted
		})})
		for range 2 {
			if took, _, code := pass(gate, detach, time.Minute); took != 5*time.Second || code != codes.ResourceExhausted {
				t.Errorf("took %v and ended with %v", took, code)
			}
		}
	})
}

func data(change map[string]string) map[string]string {
	entry := map[string]string{
		"claimNamespace": "shop", "operation": "detach", "delay": "90s", "expires": "2030-01-01T00:00:00Z",
	}
	for key, value := range change {
		entry[key] = value
		if value == "" {
			delete(entry, key)
		}
	}
	return entry
}

func TestParseReadsEveryField(t *testing.T) {
	f, err := Parse("x", data(map[string]string{
		"claim": "files", "volume": "pv-1", "node": "node-a", "refuse": "busy", "code": "Aborted",
	}))
	want := Fault{
		ID: "x", ClaimNamespace: "shop", Claim: "files", Volume: "pv-1", Node: "node-a", Operation: Detach,
		Delay: 90 * time.Second, Refuse: "busy", Code: codes.Aborted,
		Expires: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if err != nil || f != want {
		t.Errorf("%+v %v", f, err)
	}
}

func TestParseRefusesWhatWouldDoSomethingElse(t *testing.T) {
	for want, change := range map[string]map[string]string{
		"every volume":            {"claimNamespace": ""},
		"is none of [provision":   {"operation": "unplug"},
		"do nothing":              {"delay": ""},
		"not a positive duration": {"delay": "30"},
		"end by itself":           {"expires": ""},
		"is not a time":           {"expires": "tomorrow"},
		"is no field":             {"dealy": "1s"},
		"claim needs":             {"claim": "c", "volume": "v", "claimNamespace": ""},
		"is none of [Unavailable": {"code": "OK"},
	} {
		if _, err := Parse("x", data(change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want an error with %q, got %v", change, want, err)
		}
	}
}
