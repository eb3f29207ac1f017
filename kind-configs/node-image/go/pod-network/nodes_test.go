package main

import (
	"net/netip"
	"reflect"
	"testing"
)

func node(name, cidr, address string) Node {
	var n Node
	n.Metadata.Name = name
	n.Spec.PodCIDR = cidr
	if address != "" {
		n.Status.Addresses = append(n.Status.Addresses, struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		}{"InternalIP", address})
	}
	return n
}

func TestPlanRoutesToEveryOtherNode(t *testing.T) {
	plan, err := planFor("a", map[string]Node{
		"a": node("a", "10.244.0.0/24", "172.18.0.2"),
		"b": node("b", "10.244.1.0/24", "172.18.0.3"),
		"c": node("c", "10.244.2.0/24", "172.18.0.4"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Route{
		{netip.MustParsePrefix("10.244.1.0/24"), netip.MustParseAddr("172.18.0.3")},
		{netip.MustParsePrefix("10.244.2.0/24"), netip.MustParseAddr("172.18.0.4")},
	}
	if !reflect.DeepEqual(plan.Routes, want) {
		t.Errorf("routes %v, want %v", plan.Routes, want)
	}
	if plan.Own != netip.MustParsePrefix("10.244.0.0/24") || len(plan.Pods) != 3 {
		t.Errorf("own %v, pods %v", plan.Own, plan.Pods)
	}
}

func TestPlanWaitsForRangeAndAddress(t *testing.T) {
	plan, err := planFor("a", map[string]Node{
		"a": node("a", "", "172.18.0.2"),
		"b": node("b", "10.244.1.0/24", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Own.IsValid() || len(plan.Routes) != 0 {
		t.Errorf("a plan out of nothing: %+v", plan)
	}
}

func TestPlanRefusesIPv6(t *testing.T) {
	if _, err := planFor("a", map[string]Node{"a": node("a", "fd00::/64", "")}); err == nil {
		t.Error("an IPv6 range was accepted")
	}
}
