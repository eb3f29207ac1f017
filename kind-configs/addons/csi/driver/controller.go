package driver

import (
	"context"
	"errors"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"resilience-harness.dev/csi/volumes"
)

// Parameters of CreateVolume. The last two are the names that Kubernetes' provisioners use.
const (
	ParameterShared         = "shared"
	ParameterClaimNamespace = "csi.storage.k8s.io/pvc/namespace"
	ParameterClaim          = "csi.storage.k8s.io/pvc/name"
)

const defaultCapacity = 1 << 30

type mode = csi.VolumeCapability_AccessMode_Mode

var (
	oneNode = []mode{
		csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER,
	}
	manyNodes = []mode{
		csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY,
		csi.VolumeCapability_AccessMode_MULTI_NODE_SINGLE_WRITER,
		csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER,
	}
)

// Controller creates, deletes, attaches and detaches.
type Controller struct {
	csi.UnimplementedControllerServer
	Store *volumes.Store
}

// ControllerGetCapabilities lists what this service does.
func (Controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	response := &csi.ControllerGetCapabilitiesResponse{}
	for _, kind := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_PUBLISH_UNPUBLISH_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		response.Capabilities = append(response.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: kind}},
		})
	}
	return response, nil
}

// CreateVolume makes a folder. Capacity is recorded and not enforced.
func (c Controller) CreateVolume(_ context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if r.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "name is missing")
	}
	shared := r.GetParameters()[ParameterShared] == "true"
	if err := supported(r.GetVolumeCapabilities(), shared); err != nil {
		return nil, err
	}
	if r.GetVolumeContentSource() != nil {
		return nil, status.Error(codes.InvalidArgument, "volumes cannot be made from snapshots or other volumes")
	}
	capacity := max(r.GetCapacityRange().GetRequiredBytes(), 0)
	if capacity == 0 {
		capacity = defaultCapacity
	}
	if limit := r.GetCapacityRange().GetLimitBytes(); limit > 0 && limit < capacity {
		if r.GetCapacityRange().GetRequiredBytes() > 0 {
			return nil, status.Error(codes.OutOfRange, "limit_bytes is below required_bytes")
		}
		capacity = limit
	}
	volume, err := c.Store.Create(volumes.Volume{
		Name: r.GetName(), CapacityBytes: capacity, Shared: shared,
		ClaimNamespace: r.GetParameters()[ParameterClaimNamespace],
		Claim:          r.GetParameters()[ParameterClaim],
	})
	if err != nil {
		return nil, coded(err)
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{VolumeId: volume.ID, CapacityBytes: volume.CapacityBytes}}, nil
}

// DeleteVolume removes a folder that is attached nowhere.
func (c Controller) DeleteVolume(_ context.Context, r *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if r.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	}
	if err := c.Store.Delete(r.GetVolumeId()); err != nil {
		return nil, coded(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// ControllerPublishVolume attaches: a volume that is not shared has one node at a time.
func (c Controller) ControllerPublishVolume(_ context.Context, r *csi.ControllerPublishVolumeRequest) (*csi.ControllerPublishVolumeResponse, error) {
	switch {
	case r.GetVolumeId() == "":
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	case r.GetNodeId() == "":
		return nil, status.Error(codes.InvalidArgument, "node_id is missing")
	case r.GetVolumeCapability() == nil:
		return nil, status.Error(codes.InvalidArgument, "volume_capability is missing")
	case r.GetReadonly():
		return nil, status.Error(codes.InvalidArgument, "readonly attachment is no capability of this driver")
	}
	volume, err := c.Store.Get(r.GetVolumeId())
	if err != nil {
		return nil, coded(err)
	}
	if err := supported([]*csi.VolumeCapability{r.GetVolumeCapability()}, volume.Shared); err != nil {
		return nil, err
	}
	if err := c.Store.Attach(r.GetVolumeId(), r.GetNodeId()); err != nil {
		return nil, coded(err)
	}
	return &csi.ControllerPublishVolumeResponse{}, nil
}

// ControllerUnpublishVolume detaches; what is already detached is no error.
func (c Controller) ControllerUnpublishVolume(_ context.Context, r *csi.ControllerUnpublishVolumeRequest) (*csi.ControllerUnpublishVolumeResponse, error) {
	if r.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	}
	if err := c.Store.Detach(r.GetVolumeId(), r.GetNodeId()); err != nil {
		return nil, coded(err)
	}
	return &csi.ControllerUnpublishVolumeResponse{}, nil
}

// ValidateVolumeCapabilities confirms what could be attached and mounted.
func (c Controller) ValidateVolumeCapabilities(_ context.Context, r *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	switch {
	case r.GetVolumeId() == "":
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	case len(r.GetVolumeCapabilities()) == 0:
		return nil, status.Error(codes.InvalidArgument, "volume_capabilities are missing")
	}
	volume, err := c.Store.Get(r.GetVolumeId())
	if err != nil {
		return nil, coded(err)
	}
	if err := supported(r.GetVolumeCapabilities(), volume.Shared); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: status.Convert(err).Message()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeContext: r.GetVolumeContext(), VolumeCapabilities: r.GetVolumeCapabilities(), Parameters: r.GetParameters(),
	}}, nil
}

// supported refuses what a disk could not do, in words that end up in a ProvisioningFailed event.
func supported(capabilities []*csi.VolumeCapability, shared bool) error {
	if len(capabilities) == 0 {
		return status.Error(codes.InvalidArgument, "volume_capabilities are missing")
	}
	for _, capability := range capabilities {
		if capability.GetBlock() != nil {
			return status.Error(codes.InvalidArgument, "raw block volumes are not supported")
		}
		asked := capability.GetAccessMode().GetMode()
		switch {
		case slices.Contains(oneNode, asked):
		case slices.Contains(manyNodes, asked) && shared:
		case slices.Contains(manyNodes, asked):
			return status.Errorf(codes.InvalidArgument,
				"access mode %s needs a StorageClass with the parameter shared: \"true\"; this volume attaches to one node at a time", asked)
		default:
			return status.Errorf(codes.InvalidArgument, "access mode %s is not supported", asked)
		}
	}
	return nil
}

// coded gives the store's errors the codes that the CSI specification asks for.
func coded(err error) error {
	var elsewhere *volumes.AttachedElsewhereError
	switch {
	case errors.Is(err, volumes.ErrNotFound), errors.Is(err, volumes.ErrUnknownNode):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, volumes.ErrConflict):
		return status.Error(codes.AlreadyExists, err.Error())
	case errors.Is(err, volumes.ErrInUse), errors.As(err, &elsewhere):
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}
