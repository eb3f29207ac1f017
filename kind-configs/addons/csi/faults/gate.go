package faults

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

// operationKey names one piece of work that a caller may ask for again and again until it is done.
type operationKey struct {
	fault  string
	target Target
}

// Gate is where calls wait. A delay counts from the first call of an operation: a caller that
// gives up after its own timeout and asks again finds the work further on, as with a slow disk
// service, and the operation as a whole takes the delay that was asked.
type Gate struct {
	mu      sync.Mutex
	faults  []Fault
	began   map[operationKey]time.Time
	changed chan struct{}
}

// NewGate is open until faults are set.
func NewGate() *Gate {
	return &Gate{began: map[operationKey]time.Time{}, changed: make(chan struct{})}
}

// Set replaces the faults. Calls that wait look again at once, so healing needs no timeout.
func (g *Gate) Set(faults []Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = slices.Clone(faults)
	for key := range g.began {
		if !slices.ContainsFunc(faults, func(f Fault) bool { return f.ID == key.fault }) {
			delete(g.began, key)
		}
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// Active gives the faults that have not expired.
func (g *Gate) Active() []Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.active(time.Now())
}

func (g *Gate) active(now time.Time) []Fault {
	return slices.DeleteFunc(slices.Clone(g.faults), func(f Fault) bool { return !now.Before(f.Expires) })
}

// Pass holds the caller as long as a fault asks, and returns the ids of the faults that it met.
// The error is a refusal that a fault asked for, or DeadlineExceeded / Canceled when the caller's
// context ended first.
func (g *Gate) Pass(ctx context.Context, target Target) (met []string, err error) {
	for {
		held, refused, wake, changed := g.look(target, &met)
		if !held {
			if refused != nil {
				return met, status.Error(refused.Code, refused.Refuse)
			}
			return met, nil
		}
		timer := time.NewTimer(time.Until(wake))
		select {
		case <-ctx.Done():
			timer.Stop()
			return met, status.FromContextError(ctx.Err()).Err()
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// look says whether the caller is still held, until when at most, and else whether it is refused.
func (g *Gate) look(target Target, met *[]string) (held bool, refused *Fault, wake time.Time, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	keys := []operationKey{}
	for _, fault := range g.active(now) {
		if !fault.hits(target) {
			continue
		}
		if !slices.Contains(*met, fault.ID) {
			*met = append(*met, fault.ID)
		}
		key := operationKey{fault.ID, target}
		keys = append(keys, key)
		if _, known := g.began[key]; !known {
			g.began[key] = now
		}
		until := g.began[key].Add(fault.Delay)
		if fault.Expires.Before(until) {
			until = fault.Expires
		}
		if now.Before(until) {
			if !held || until.Before(wake) {
				wake = until
			}
			held = true
		} else if fault.Refuse != "" && refused == nil {
			refused = &fault
		}
	}
	if !held {
		for _, key := range keys {
			delete(g.began, key)
		}
	}
	return held, refused, wake, g.changed
}
