package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	table = "harness-pod-network"
	// protocol marks our routes, so that those of nodes which left can be told from anybody's.
	protocol = netlink.RouteProtocol(144)
)

// apply makes the kernel and the CNI configuration agree with the plan. It is called again and
// again and changes only what differs, except the small nft table, which one transaction replaces.
func apply(plan Plan, cniDir string) error {
	return errors.Join(applyRoutes(plan), applyMasquerade(plan), writeCNI(plan.Own, cniDir))
}

func applyRoutes(plan Plan) error {
	stale := map[string]netlink.Route{}
	found, err := netlink.RouteListFiltered(
		netlink.FAMILY_V4, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, route := range found {
		stale[route.Dst.String()] = route
	}
	var failed []error
	for _, route := range plan.Routes {
		via, known := stale[route.Pods.String()]
		delete(stale, route.Pods.String())
		if known && via.Gw.String() == route.Via.String() {
			continue
		}
		err := netlink.RouteReplace(&netlink.Route{
			Dst: ipNet(route.Pods), Gw: route.Via.AsSlice(), Protocol: protocol,
		})
		if err != nil {
			failed = append(failed, fmt.Errorf("route %s via %s: %w", route.Pods, route.Via, err))
		}
	}
	// A pod that is gone leaves connections and rules behind for a while. Without this, what is sent
	// to its address would leave the node by the default route, and whoever is out there would answer.
	if plan.Own.IsValid() {
		own := ipNet(plan.Own)
		if _, known := stale[own.String()]; !known {
			err := netlink.RouteReplace(&netlink.Route{
				Dst: own, Type: unix.RTN_UNREACHABLE, Protocol: protocol,
			})
			if err != nil {
				failed = append(failed, fmt.Errorf("route %s to nowhere: %w", own, err))
			}
		}
		delete(stale, own.String())
	}
	for _, route := range stale {
		if err := netlink.RouteDel(&route); err != nil {
			failed = append(failed, fmt.Errorf("remove route %s: %w", route.Dst, err))
		}
	}
	return errors.Join(failed...)
}

// applyMasquerade gives traffic from this node's pods to anything that is no pod the node's own
// address: nobody outside knows the way back to a pod.
func applyMasquerade(plan Plan) error {
	if !plan.Own.IsValid() {
		return nil
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	ours := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: table}
	conn.AddTable(ours)
	conn.DelTable(ours)
	conn.AddTable(ours)
	chain := conn.AddChain(&nftables.Chain{
		Name: "postrouting", Table: ours, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	for _, pods := range plan.Pods {
		conn.AddRule(&nftables.Rule{Table: ours, Chain: chain, Exprs: append(
			inside(16, pods), &expr.Verdict{Kind: expr.VerdictReturn})})
	}
	conn.AddRule(&nftables.Rule{Table: ours, Chain: chain, Exprs: append(
		inside(12, plan.Own), &expr.Masq{})})
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nft table %s: %w", table, err)
	}
	return nil
}

// inside matches the IPv4 address at offset (12: source, 16: destination) against a range.
func inside(offset uint32, pods netip.Prefix) []expr.Any {
	network := ipNet(pods)
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: network.Mask, Xor: binaryutil.NativeEndian.PutUint32(0)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: network.IP.To4()},
	}
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	masked := prefix.Masked()
	return &net.IPNet{IP: masked.Addr().AsSlice(), Mask: net.CIDRMask(masked.Bits(), 32)}
}

// cniConfig is what containerd runs for each pod: a veth pair, an address of the node's range,
// and hostPort mappings. Leases lie on a tmpfs, so that a restarted node starts from none.
func cniConfig(own netip.Prefix) ([]byte, error) {
	type object = map[string]any
	return json.MarshalIndent(object{
		"cniVersion": "0.4.0",
		"name":       "harness-pod-network",
		"plugins": []object{
			{
				"type": "ptp",
				"mtu":  mtu(),
				"ipam": object{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"routes":  []object{{"dst": "0.0.0.0/0"}},
					"ranges":  [][]object{{{"subnet": own.String()}}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
}

func mtu() int {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return 1500
	}
	return link.Attrs().MTU
}

func writeCNI(own netip.Prefix, dir string) error {
	if !own.IsValid() {
		return nil
	}
	text, err := cniConfig(own)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "10-harness.conflist")
	if existing, err := os.ReadFile(path); err == nil && string(existing) == string(text) {
		return nil
	}
	// Written beside and renamed: kubelet must never read half a file.
	temporary := filepath.Join(dir, ".10-harness.conflist.tmp")
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// forward lets the kernel route between pods; a node container has it on, a fresh one may not.
func forward() error {
	const setting = "/proc/sys/net/ipv4/ip_forward"
	current, err := os.ReadFile(setting)
	if err == nil && len(current) > 0 && current[0] == '1' {
		return nil
	}
	if err := os.WriteFile(setting, []byte("1"), 0); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}
	return nil
}
