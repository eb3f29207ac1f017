// The harness's own attachable CSI driver: `--controller` beside the external-attacher, `--node`
// on every node, both together for csi-sanity. README.md has the contract of faults and calls.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"resilience-harness.dev/csi/calls"
	"resilience-harness.dev/csi/driver"
	"resilience-harness.dev/csi/faults"
	"resilience-harness.dev/csi/kube"
	"resilience-harness.dev/csi/volumes"
)

type options struct {
	controller bool
	node       string
	socket     string
	root       string
	listen     string
	faults     string
	provision  bool
	register   string
	kubelet    string
	instance   string
}

func main() {
	var o options
	flag.BoolVar(&o.controller, "controller", false, "serve the controller service")
	flag.StringVar(&o.node, "node", "", "serve the node service, for the node of this name")
	flag.StringVar(&o.socket, "socket", "/csi/csi.sock", "socket of the CSI services")
	flag.StringVar(&o.root, "volumes", "/var/lib/harness-volumes", "folder that every node sees")
	flag.StringVar(&o.listen, "listen", ":9808", "address of /calls, /faults, /metrics and /healthz")
	flag.StringVar(&o.faults, "faults", "", "namespace of the ConfigMaps that are faults; empty for none")
	flag.BoolVar(&o.provision, "provision", false, "make volumes for claims (with --controller)")
	flag.StringVar(&o.register, "register", "", "the kubelet's plugin registration folder (with --node)")
	flag.StringVar(&o.kubelet, "kubelet-socket", "", "--socket as the kubelet sees it (with --register)")
	flag.StringVar(&o.instance, "instance", "driver", "name of this driver in the record of calls")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
}

// run serves until the context ends or a part of the driver fails.
func run(parent context.Context, o options) error {
	if !o.controller && o.node == "" {
		return errors.New("neither --controller nor --node is given")
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	fail := func(err error) { cancel(err) }

	store, err := volumes.Open(o.root)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	gate := faults.NewGate()
	watcher := kube.NewWatcher(gate)
	recorder := calls.NewRecorder(o.instance, os.Stdout)

	var client kubernetes.Interface
	if o.faults != "" || o.provision {
		if client, err = inCluster(); err != nil {
			return err
		}
	}
	if o.faults != "" {
		// Before the first call is taken: a restarted driver must not let held calls through.
		if err := watcher.Run(ctx, client, o.faults); err != nil {
			return err
		}
	}
	interceptor := driver.NewInterceptor(store, o.node, gate, recorder, registry)
	if err := serveCSI(ctx, o, store, interceptor, fail); err != nil {
		return err
	}
	serveHTTP(ctx, o.listen, calls.Handler(recorder, watcher.View, registry), fail)
	if o.register != "" {
		if err := kube.Register(ctx, o.register, driver.Name, o.kubelet, fail); err != nil {
			return err
		}
	}
	if o.provision {
		connection, err := grpc.NewClient("unix:"+o.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer connection.Close()
		go kube.RunProvisioner(ctx, client, csi.NewControllerClient(connection))
	}
	slog.Info("serving", "controller", o.controller, "node", o.node, "instance", recorder.Instance())
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func inCluster() (kubernetes.Interface, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func serveCSI(ctx context.Context, o options, store *volumes.Store, interceptor *driver.Interceptor, fail func(error)) error {
	if err := os.Remove(o.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", o.socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(interceptor.Unary))
	csi.RegisterIdentityServer(server, driver.Identity{})
	if o.controller {
		csi.RegisterControllerServer(server, driver.Controller{Store: store})
	}
	if o.node != "" {
		if err := store.RegisterNode(o.node); err != nil {
			return err
		}
		csi.RegisterNodeServer(server, driver.NewNode(store, o.node))
	}
	go func() {
		<-ctx.Done()
		// Not graceful: calls that are held would keep the driver from stopping.
		server.Stop()
	}()
	go func() {
		if err := server.Serve(listener); err != nil {
			fail(fmt.Errorf("CSI services: %w", err))
		}
	}()
	return nil
}

func serveHTTP(ctx context.Context, address string, handler http.Handler, fail func(error)) {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		if err := server.Close(); err != nil {
			slog.Error("closing the HTTP listener", "error", err)
		}
	}()
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			fail(fmt.Errorf("HTTP on %s: %w", address, err))
		}
	}()
}
