// Package calls is the driver's testimony: every operation that the cluster asked for, when it
// began and ended, how long a fault held it and what came of it. It is written as JSON lines and
// kept for HTTP; it decides nothing.
package calls

import (
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"resilience-harness.dev/csi/faults"
)

// Call is one CSI call. Finished is nil while it is under way.
type Call struct {
	// Seq counts from 1 within Instance; a restarted driver is another instance.
	Seq      int64  `json:"seq"`
	Instance string `json:"instance"`
	Method   string `json:"method"`
	faults.Target
	Began    time.Time  `json:"began"`
	Finished *time.Time `json:"finished"`
	// HeldSeconds is the time that faults kept the call waiting.
	HeldSeconds float64 `json:"heldSeconds"`
	// Faults are the ids of the faults that the call met, delaying or refusing.
	Faults []string `json:"faults"`
	// Code is the gRPC code, empty while the call is under way.
	Code    string `json:"code"`
	Message string `json:"message"`
}

// kept bounds the memory of the recorder; the lines on the output are not bounded.
const kept = 20_000

// Recorder is safe for concurrent use.
type Recorder struct {
	instance string
	out      io.Writer
	mu       sync.Mutex
	last     int64
	calls    []*Call
}

// NewRecorder writes to out. The instance tells this life of the driver from another.
func NewRecorder(name string, out io.Writer) *Recorder {
	return &Recorder{instance: name + "-" + strconv.FormatInt(time.Now().UnixNano(), 36), out: out}
}

// Begin notes a call that has arrived.
func (r *Recorder) Begin(method string, target faults.Target) *Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	call := &Call{
		Seq: r.last, Instance: r.instance, Method: method, Target: target,
		Began: time.Now().UTC(), Faults: []string{},
	}
	r.calls = append(r.calls, call)
	if len(r.calls) > kept {
		r.calls = slices.Delete(r.calls, 0, len(r.calls)-kept)
	}
	r.write("began", *call)
	return call
}

// Held notes how long the faults that a call met kept it, whether it then goes on or is refused.
func (r *Recorder) Held(call *Call, held time.Duration, met []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	call.HeldSeconds = held.Seconds()
	call.Faults = append(call.Faults, met...)
}

// Finish notes the outcome, by which time the caller has it or has given up.
func (r *Recorder) Finish(call *Call, code, message string) Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now().UTC()
	call.Finished, call.Code, call.Message = &now, code, message
	r.write("finished", *call)
	return *call
}

// Since gives copies of the calls numbered above seq: 0 has all that are kept. A reader that wants
// the end of a call it saw under way asks again from below its number.
func (r *Recorder) Since(seq int64) []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := []Call{}
	for _, call := range r.calls {
		if call.Seq > seq {
			found = append(found, *call)
		}
	}
	return found
}

// Instance names this life of the driver.
func (r *Recorder) Instance() string { return r.instance }

func (r *Recorder) write(event string, call Call) {
	line, err := json.Marshal(struct {
		Event string `json:"event"`
		Call
	}{event, call})
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	if err != nil {
		slog.Error("a call could not be written", "error", err)
	}
}
