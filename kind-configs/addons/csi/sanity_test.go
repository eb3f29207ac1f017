package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"golang.org/x/sys/unix"
)

// TestSanity runs upstream's csi-sanity against controller and node in one process, with real bind
// mounts: it needs root.
func TestSanity(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Fatal("csi-sanity mounts folders: run as root")
	}
	folder := t.TempDir()
	o := options{
		controller: true, node: "node-a", root: filepath.Join(folder, "volumes"),
		socket: filepath.Join(folder, "csi.sock"), listen: "127.0.0.1:0", instance: "sanity",
	}
	if err := os.Mkdir(o.root, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the driver ended with %v", err)
		}
	})
	waitForSocket(t, o.socket)

	config := sanity.NewTestConfig()
	config.Address = "unix:" + o.socket
	config.TargetPath = filepath.Join(folder, "target")
	config.StagingPath = filepath.Join(folder, "staging")
	sanity.Test(t, config)
}

func waitForSocket(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if connection, err := net.Dial("unix", path); err == nil {
			if err := connection.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s did not appear", path)
}
