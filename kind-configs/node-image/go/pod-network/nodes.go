package main

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
)

// Node is the part of a Kubernetes Node that pod networking depends on.
type Node struct {
	Metadata struct {
		Name            string `json:"name"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		PodCIDR string `json:"podCIDR"`
	} `json:"spec"`
	Status struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
	} `json:"status"`
}

// Route sends one node's pods through that node's address.
type Route struct {
	Pods netip.Prefix
	Via  netip.Addr
}

// Plan is everything that one node must have for its pods to reach all others.
type Plan struct {
	// Own is the range that this node's pods get their addresses from; invalid until assigned.
	Own netip.Prefix
	// Routes lead to the pods of the other nodes.
	Routes []Route
	// Pods are the ranges of all nodes, own included: traffic between them keeps its source.
	Pods []netip.Prefix
}

// planFor says what the node called self needs, given all nodes. A node that has no range or no
// address yet is left out: its route comes with the update that brings them.
func planFor(self string, nodes map[string]Node) (Plan, error) {
	var plan Plan
	names := make([]string, 0, len(nodes))
	for name := range nodes {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		node := nodes[name]
		if node.Spec.PodCIDR == "" {
			continue
		}
		pods, err := netip.ParsePrefix(node.Spec.PodCIDR)
		if err != nil {
			return Plan{}, fmt.Errorf("node %s: podCIDR: %w", name, err)
		}
		if !pods.Addr().Is4() {
			return Plan{}, fmt.Errorf("node %s: podCIDR %s: only IPv4 clusters are supported", name, pods)
		}
		plan.Pods = append(plan.Pods, pods)
		if name == self {
			plan.Own = pods
			continue
		}
		if via, ok := internalIP(node); ok {
			plan.Routes = append(plan.Routes, Route{Pods: pods, Via: via})
		}
	}
	return plan, nil
}

func internalIP(node Node) (netip.Addr, bool) {
	for _, address := range node.Status.Addresses {
		if address.Type != "InternalIP" {
			continue
		}
		if parsed, err := netip.ParseAddr(address.Address); err == nil && parsed.Is4() {
			return parsed, true
		}
	}
	return netip.Addr{}, false
}

// same is true when two plans ask for the same; node status changes far more often than they do.
func same(a, b Plan) bool {
	return a.Own == b.Own && slices.Equal(a.Routes, b.Routes) && slices.Equal(a.Pods, b.Pods)
}
