// Package kube joins the driver to a cluster: it reads faults from a ConfigMap, makes
// PersistentVolumes for claims and registers the node plugin with the kubelet.
package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"resilience-harness.dev/csi/calls"
	"resilience-harness.dev/csi/faults"
)

// Watcher keeps a gate as the ConfigMap says. Without the API server the last known faults stay in
// force until they expire.
type Watcher struct {
	gate      *faults.Gate
	mu        sync.Mutex
	version   string
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
	return calls.FaultView{ResourceVersion: w.version, Active: w.gate.Active(), Malformed: w.malformed}
}

// Run watches until the context ends; it returns once the first list has arrived.
func (w *Watcher) Run(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	source := cache.NewListWatchFromClient(
		client.CoreV1().RESTClient(), "configmaps", namespace, fields.OneTermEqualSelector("metadata.name", name))
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source,
		ObjectType:    &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { w.read(object.(*corev1.ConfigMap)) },
			UpdateFunc: func(_, object any) { w.read(object.(*corev1.ConfigMap)) },
			DeleteFunc: func(any) { w.read(&corev1.ConfigMap{}) },
		},
	})
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("ConfigMap %s/%s was not read: %w", namespace, name, ctx.Err())
	}
	return nil
}

// read takes each entry on its own: one that cannot be understood is shown, and the others count.
func (w *Watcher) read(config *corev1.ConfigMap) {
	found, malformed := []faults.Fault{}, map[string]string{}
	for id, text := range config.Data {
		fault, err := faults.Parse(id, text)
		if err != nil {
			malformed[id] = err.Error()
			slog.Error("a fault cannot be understood", "id", id, "error", err)
			continue
		}
		found = append(found, fault)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate.Set(found)
	w.version, w.malformed = config.ResourceVersion, malformed
}
