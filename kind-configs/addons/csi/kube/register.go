package kube

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// Registration is how the kubelet learns of the node plugin: it finds a socket in its plugin
// folder, asks whose it is, and says whether it agreed.
type Registration struct {
	registration.UnimplementedRegistrationServer
	name string
	// endpoint is the plugin's socket as the kubelet sees it.
	endpoint string
	failed   func(error)
}

// GetInfo names the driver and its socket.
func (r Registration) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: r.name, Endpoint: r.endpoint, SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus ends the plugin if the kubelet refused it: restarted, it asks again.
func (r Registration) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !s.GetPluginRegistered() {
		r.failed(errors.New("the kubelet refused the plugin: " + s.GetError()))
	} else {
		slog.Info("registered with the kubelet", "endpoint", r.endpoint)
	}
	return &registration.RegistrationStatusResponse{}, nil
}

// Register serves the registration socket in the kubelet's plugin folder until the context ends.
func Register(ctx context.Context, folder, name, endpoint string, failed func(error)) error {
	path := filepath.Join(folder, name+"-reg.sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, Registration{name: name, endpoint: endpoint, failed: failed})
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	go func() {
		if err := server.Serve(listener); err != nil {
			failed(err)
		}
	}()
	return nil
}
