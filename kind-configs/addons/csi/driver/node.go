package driver

import (
	"context"
	"slices"
	"sync"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"resilience-harness.dev/csi/volumes"
)

// Node mounts volumes that are attached to it.
type Node struct {
	csi.UnimplementedNodeServer
	Store *volumes.Store
	Name  string
	// mu makes the look at the mount table and the mount that follows one step.
	mu *sync.Mutex
}

// NewNode is the plugin of the node of this name.
func NewNode(store *volumes.Store, name string) Node {
	return Node{Store: store, Name: name, mu: &sync.Mutex{}}
}

// NodeGetInfo gives the name under which volumes are attached here.
func (n Node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.Name}, nil
}

// NodeGetCapabilities lists what this service does.
func (Node) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	response := &csi.NodeGetCapabilitiesResponse{}
	for _, kind := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		response.Capabilities = append(response.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: kind}},
		})
	}
	return response, nil
}

// NodeStageVolume mounts the volume once for the node. Like a disk that is not plugged in, a
// volume that is not attached here cannot be staged.
func (n Node) NodeStageVolume(_ context.Context, r *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	switch {
	case r.GetVolumeId() == "":
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	case r.GetStagingTargetPath() == "":
		return nil, status.Error(codes.InvalidArgument, "staging_target_path is missing")
	case r.GetVolumeCapability() == nil:
		return nil, status.Error(codes.InvalidArgument, "volume_capability is missing")
	}
	volume, err := n.Store.Get(r.GetVolumeId())
	if err != nil {
		return nil, coded(err)
	}
	if err := mountable(r.GetVolumeCapability(), volume); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	attached, err := n.Store.Attached(volume.ID)
	if err != nil {
		return nil, coded(err)
	}
	if !slices.Contains(attached, n.Name) {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is not attached to node %s but to %v", volume.ID, n.Name, attached)
	}
	if err := bind(n.Store.Data(volume.ID), r.GetStagingTargetPath(), false); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

// NodeUnstageVolume removes the node's mount; one that is already gone is no error.
func (n Node) NodeUnstageVolume(_ context.Context, r *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	switch {
	case r.GetVolumeId() == "":
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	case r.GetStagingTargetPath() == "":
		return nil, status.Error(codes.InvalidArgument, "staging_target_path is missing")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := unbind(r.GetStagingTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

// NodePublishVolume mounts the staged volume for one pod.
func (n Node) NodePublishVolume(_ context.Context, r *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	switch {
	case r.GetVolumeId() == "":
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	case r.GetTargetPath() == "":
		return nil, status.Error(codes.InvalidArgument, "target_path is missing")
	case r.GetVolumeCapability() == nil:
		return nil, status.Error(codes.InvalidArgument, "volume_capability is missing")
	}
	volume, err := n.Store.Get(r.GetVolumeId())
	if err != nil {
		return nil, coded(err)
	}
	if r.GetStagingTargetPath() == "" {
		return nil, status.Error(codes.FailedPrecondition, "staging_target_path is missing")
	}
	if err := mountable(r.GetVolumeCapability(), volume); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	mounts, err := mountsLike(r.GetStagingTargetPath())
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if len(mounts) == 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is not staged at %s", volume.ID, r.GetStagingTargetPath())
	}
	if r.GetVolumeCapability().GetAccessMode().GetMode() == csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER {
		for _, mounted := range mounts {
			if mounted != r.GetStagingTargetPath() && mounted != r.GetTargetPath() {
				return nil, status.Errorf(codes.FailedPrecondition, "volume %s has a single writer and is in use at %s", volume.ID, mounted)
			}
		}
	}
	readonly := r.GetReadonly() || r.GetVolumeCapability().GetAccessMode().GetMode() == csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY
	if err := bind(r.GetStagingTargetPath(), r.GetTargetPath(), readonly); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// NodeUnpublishVolume removes the pod's mount and its folder.
func (n Node) NodeUnpublishVolume(_ context.Context, r *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	switch {
	case r.GetVolumeId() == "":
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	case r.GetTargetPath() == "":
		return nil, status.Error(codes.InvalidArgument, "target_path is missing")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := unbind(r.GetTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if err := removeEmpty(r.GetTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// mountable refuses what a bind mount of a folder cannot honour.
func mountable(capability *csi.VolumeCapability, volume volumes.Volume) error {
	if flags := capability.GetMount().GetMountFlags(); len(flags) > 0 {
		return status.Errorf(codes.InvalidArgument, "mount options %v are not supported", flags)
	}
	return supported([]*csi.VolumeCapability{capability}, volume.Shared)
}
