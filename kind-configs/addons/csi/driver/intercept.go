package driver

import (
	"context"
	"path"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"resilience-harness.dev/csi/calls"
	"resilience-harness.dev/csi/faults"
	"resilience-harness.dev/csi/volumes"
)

// Interceptor stands before the services: it records each call and lets the gate hold or refuse it.
type Interceptor struct {
	store    *volumes.Store
	node     string
	gate     *faults.Gate
	recorder *calls.Recorder
	finished *prometheus.HistogramVec
	underWay *prometheus.GaugeVec
}

// NewInterceptor registers its metrics. The node is empty for a controller.
func NewInterceptor(store *volumes.Store, node string, gate *faults.Gate, recorder *calls.Recorder, registry *prometheus.Registry) *Interceptor {
	i := &Interceptor{
		store: store, node: node, gate: gate, recorder: recorder,
		finished: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "harness_csi_call_seconds", Help: "Duration of finished CSI calls.",
			Buckets: []float64{0.01, 0.1, 1, 5, 15, 30, 60, 120, 300, 600},
		}, []string{"operation", "code"}),
		underWay: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "harness_csi_calls_under_way", Help: "CSI calls that have not been answered.",
		}, []string{"operation"}),
	}
	registry.MustRegister(i.finished, i.underWay)
	return i
}

// Unary is the gRPC interceptor. Calls that only ask (capabilities, probes) pass unrecorded.
func (i *Interceptor) Unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	target, ours := i.target(request)
	if !ours {
		return handle(ctx, request)
	}
	call := i.recorder.Begin(path.Base(info.FullMethod), target)
	i.underWay.WithLabelValues(string(target.Operation)).Inc()
	met, err := i.gate.Pass(ctx, target)
	if len(met) > 0 {
		i.recorder.Held(call, time.Since(call.Began), met)
	}
	var response any
	if err == nil {
		response, err = handle(ctx, request)
	}
	outcome := status.Convert(err)
	done := i.recorder.Finish(call, outcome.Code().String(), outcome.Message())
	i.underWay.WithLabelValues(string(target.Operation)).Dec()
	i.finished.WithLabelValues(string(target.Operation), done.Code).Observe(done.Finished.Sub(done.Began).Seconds())
	return response, err
}

// target says what a request is about. The claim is known from the volume's making, so that a
// fault on a namespace reaches calls that carry the volume's ID alone.
func (i *Interceptor) target(request any) (faults.Target, bool) {
	t := faults.Target{Node: i.node}
	switch r := request.(type) {
	case *csi.CreateVolumeRequest:
		return faults.Target{
			Operation: faults.Provision, Volume: volumes.IDOf(r.GetName()),
			ClaimNamespace: r.GetParameters()[ParameterClaimNamespace], Claim: r.GetParameters()[ParameterClaim],
		}, true
	case *csi.DeleteVolumeRequest:
		t.Operation, t.Volume = faults.Delete, r.GetVolumeId()
	case *csi.ControllerPublishVolumeRequest:
		t.Operation, t.Volume, t.Node = faults.Attach, r.GetVolumeId(), r.GetNodeId()
	case *csi.ControllerUnpublishVolumeRequest:
		t.Operation, t.Volume, t.Node = faults.Detach, r.GetVolumeId(), r.GetNodeId()
	case *csi.NodeStageVolumeRequest:
		t.Operation, t.Volume = faults.Stage, r.GetVolumeId()
	case *csi.NodeUnstageVolumeRequest:
		t.Operation, t.Volume = faults.Unstage, r.GetVolumeId()
	case *csi.NodePublishVolumeRequest:
		t.Operation, t.Volume = faults.Mount, r.GetVolumeId()
	case *csi.NodeUnpublishVolumeRequest:
		t.Operation, t.Volume = faults.Unmount, r.GetVolumeId()
	default:
		return t, false
	}
	if volume, err := i.store.Get(t.Volume); err == nil {
		t.ClaimNamespace, t.Claim = volume.ClaimNamespace, volume.Claim
	}
	return t, true
}
