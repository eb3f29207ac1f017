// Package kube joins the driver to a cluster: it reads faults from ConfigMaps, makes
// PersistentVolumes for claims and registers the node plugin with the kubelet.
package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"resilience-harness.dev/csi/calls"
	"resilience-harness.dev/csi/faults"
)

// FaultLabel marks the ConfigMaps that are faults.
const FaultLabel = "resilience-harness.dev/csi-fault"

// Watcher keeps a gate as the ConfigMaps say. Without the API server the last known faults stay in
// force until they expire.
type Watcher struct {
	gate      *faults.Gate
	mu        sync.Mutex
	malformed map[string]string
}

// NewWatcher sets the gate's faults.
func NewWatcher(gate *faults.Gate) *Watcher {
	return &Watcher{gate: gate, malformed: map[string]string{}}
}

// View is what the driver knows of its faults.
func (w *Watcher) View() calls.FaultView {
	w.mu.Lock()
	defer w.mu.Unlock()
	return calls.FaultView{Active: w.gate.Active(), Malformed: w.malformed}
}

// Run watches until the context ends; it returns once the faults of now are in force.
func (w *Watcher) Run(ctx context.Context, client kubernetes.Interface, namespace string) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = FaultLabel + "=true" }))
	informer := factory.Core().V1().ConfigMaps().Informer()
	read := func() { w.read(informer.GetStore().List()) }
	handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { read() },
		UpdateFunc: func(any, any) { read() },
		DeleteFunc: func(any) { read() },
	})
	if err != nil {
		return err
	}
	factory.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return fmt.Errorf("the faults in %s were not read: %w", namespace, ctx.Err())
	}
	return nil
}

// read takes each ConfigMap on its own: one that cannot be understood is shown, the others count.
func (w *Watcher) read(objects []any) {
	found, malformed := []faults.Fault{}, map[string]string{}
	for _, object := range objects {
		config := object.(*corev1.ConfigMap)
		fault, err := faults.Parse(config.Name, config.Data)
		if err != nil {
			malformed[config.Name] = err.Error()
			slog.Error("a fault cannot be understood", "configmap", config.Name, "error", err)
			continue
		}
		found = append(found, fault)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate.Set(found)
	w.malformed = malformed
}
