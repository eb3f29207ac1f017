package kube

import (
	"context"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/kubernetes-csi/csi-lib-utils/accessmodes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"resilience-harness.dev/csi/driver"
)

// callTimeout is the patience with one CreateVolume or DeleteVolume call; a call that is held
// longer is asked again.
const callTimeout = 60 * time.Second

// Provisioner turns claims into volumes through the driver's own socket, so that these calls are
// recorded and can be delayed like any other.
type Provisioner struct {
	Driver csi.ControllerClient
}

// RunProvisioner watches claims and volumes of the driver's StorageClasses until the context ends.
func RunProvisioner(ctx context.Context, client kubernetes.Interface, driverClient csi.ControllerClient) {
	controller.NewProvisionController(
		ctx, client, driver.Name, &Provisioner{Driver: driverClient},
		controller.LeaderElection(false),
		controller.MetricsPort(0),
		// As upstream's external-provisioner, whose longest pause is 5 min. A volume is often still
		// attached when its deletion is first tried.
		controller.RateLimiter(workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second, 10*time.Second)),
		controller.ProvisionTimeout(callTimeout),
		controller.DeletionTimeout(callTimeout),
	).Run(ctx)
}

// Provision makes the volume and describes it.
func (p *Provisioner) Provision(ctx context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	if o.PVC.Spec.Selector != nil || o.PVC.Spec.DataSource != nil || o.PVC.Spec.DataSourceRef != nil {
		return nil, controller.ProvisioningFinished, status.Error(codes.InvalidArgument,
			"claims with a selector or a data source are not supported")
	}
	capabilities, err := capabilities(o.PVC)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	parameters := map[string]string{
		driver.ParameterClaimNamespace: o.PVC.Namespace, driver.ParameterClaim: o.PVC.Name,
	}
	for name, value := range o.StorageClass.Parameters {
		parameters[name] = value
	}
	size := o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]
	response, err := p.Driver.CreateVolume(ctx, &csi.CreateVolumeRequest{
		Name: o.PVName, VolumeCapabilities: capabilities, Parameters: parameters,
		CapacityRange: &csi.CapacityRange{RequiredBytes: size.Value()},
	})
	if err != nil {
		return nil, stateAfter(err), err
	}
	volumeMode := corev1.PersistentVolumeFilesystem
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   o.PVC.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    &volumeMode,
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: *resource.NewQuantity(response.GetVolume().GetCapacityBytes(), resource.BinarySI),
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: driver.Name, VolumeHandle: response.GetVolume().GetVolumeId(),
			}},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes the volume of a PersistentVolume that is released.
func (p *Provisioner) Delete(ctx context.Context, volume *corev1.PersistentVolume) error {
	_, err := p.Driver.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: volume.Spec.CSI.VolumeHandle})
	return err
}

// SupportsBlock lets claims for raw blocks through to the driver, whose refusal names the reason.
func (p *Provisioner) SupportsBlock(context.Context) bool { return true }

// capabilities translates the access modes as upstream's provisioner does for a driver that knows
// single writers.
func capabilities(claim *corev1.PersistentVolumeClaim) ([]*csi.VolumeCapability, error) {
	found := []*csi.VolumeCapability{}
	for _, asked := range claim.Spec.AccessModes {
		mode, err := accessmodes.ToCSIAccessMode([]corev1.PersistentVolumeAccessMode{asked}, true)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		capability := &csi.VolumeCapability{
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode},
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
		}
		if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
			capability.AccessType = &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}
		}
		found = append(found, capability)
	}
	return found, nil
}

// stateAfter says whether the driver may still be at work after an error.
func stateAfter(err error) controller.ProvisioningState {
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.Aborted, codes.ResourceExhausted:
		return controller.ProvisioningInBackground
	default:
		return controller.ProvisioningFinished
	}
}
