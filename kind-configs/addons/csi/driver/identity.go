// Package driver answers the CSI calls: it creates, attaches and mounts. Faults and the record of
// calls stand before it, in an interceptor, so that the services themselves know nothing of them.
package driver

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Name is the driver's name: what a StorageClass, a CSIDriver and a PersistentVolume call it.
const Name = "csi.resilience-harness.dev"

// Version goes with the contract of faults and of /calls.
const Version = "1.0.0"

// Identity answers who the driver is.
type Identity struct {
	csi.UnimplementedIdentityServer
}

// GetPluginInfo gives name and version.
func (Identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: Name, VendorVersion: Version}, nil
}

// GetPluginCapabilities says that there is a controller service.
func (Identity) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{{
		Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{
			Type: csi.PluginCapability_Service_CONTROLLER_SERVICE,
		}},
	}}}, nil
}

// Probe answers that the driver is ready: it opened its folder before it began to listen.
func (Identity) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}
