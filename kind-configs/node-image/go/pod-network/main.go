// Command pod-network joins the pods of all nodes without an overlay: it writes this node's CNI
// configuration from the node's podCIDR, keeps one route per other node, and masquerades what
// leaves for anything but a pod. It enforces no NetworkPolicy.
//
// One runs on each node (DaemonSet, host network). While the API server is away the routes stay;
// every few seconds they are compared with the kernel's, so whatever removed one is undone.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	cniDir  = "/etc/cni/net.d"
	resync  = 5 * time.Second
	backoff = 250 * time.Millisecond
)

func main() {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	self := os.Getenv("NODE_NAME")
	if self == "" {
		log.Fatal("NODE_NAME is not set")
	}
	api, err := inCluster()
	if err != nil {
		log.Fatal(err)
	}
	if err := forward(); err != nil {
		log.Printf("ip_forward: %v", err)
	}
	keeper := &keeper{self: self}
	go keeper.resync(ctx)
	for ctx.Err() == nil {
		if err := api.follow(ctx, keeper.update); err != nil && ctx.Err() == nil {
			log.Printf("nodes: %v; trying again", err)
			select {
			case <-ctx.Done():
			case <-time.After(backoff):
			}
		}
	}
}

// keeper holds the newest plan and applies it when it changes and at intervals.
type keeper struct {
	self string
	mu   sync.Mutex
	plan Plan
}

func (k *keeper) update(nodes map[string]Node) {
	plan, err := planFor(k.self, nodes)
	if err != nil {
		log.Print(err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if same(plan, k.plan) {
		return
	}
	k.plan = plan
	log.Printf("own range %s, %d routes", plan.Own, len(plan.Routes))
	k.apply()
}

func (k *keeper) resync(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(resync):
			k.mu.Lock()
			k.apply()
			k.mu.Unlock()
		}
	}
}

func (k *keeper) apply() {
	if err := apply(k.plan, cniDir); err != nil {
		log.Printf("apply: %v; trying again in %s", err, resync)
	}
}
