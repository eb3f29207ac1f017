package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// API reads nodes from the API server with the pod's service account. It is plain HTTP and JSON:
// a client library would make the image five times as large.
type API struct {
	base   string
	client *http.Client
}

func inCluster() (*API, error) {
	ca, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%sca.crt holds no certificate", account)
	}
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	transport := &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: pool},
		DialContext:           (&net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}).DialContext,
		ResponseHeaderTimeout: 30 * time.Second,
	}
	return &API{base: "https://" + address, client: &http.Client{Transport: transport}}, nil
}

func (a *API) get(ctx context.Context, path string) (io.ReadCloser, error) {
	// Read at each request: kubelet renews the token.
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return nil, fmt.Errorf("%s: %s: %s", path, response.Status, text)
	}
	return response.Body, nil
}

// follow calls changed with all nodes, at first and after each change, until the watch ends.
func (a *API) follow(ctx context.Context, changed func(map[string]Node)) error {
	body, err := a.get(ctx, "/api/v1/nodes")
	if err != nil {
		return err
	}
	var list struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Items []Node `json:"items"`
	}
	err = json.NewDecoder(body).Decode(&list)
	body.Close()
	if err != nil {
		return err
	}
	nodes := map[string]Node{}
	for _, node := range list.Items {
		nodes[node.Metadata.Name] = node
	}
	changed(nodes)
	// The watch ends by itself after some minutes; listing again then also mends what was missed.
	body, err = a.get(ctx, "/api/v1/nodes?watch=true&timeoutSeconds=240&resourceVersion="+list.Metadata.ResourceVersion)
	if err != nil {
		return err
	}
	defer body.Close()
	events := json.NewDecoder(body)
	for {
		var event struct {
			Type   string `json:"type"`
			Object Node   `json:"object"`
		}
		if err := events.Decode(&event); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		switch event.Type {
		case "ADDED", "MODIFIED":
			nodes[event.Object.Metadata.Name] = event.Object
		case "DELETED":
			delete(nodes, event.Object.Metadata.Name)
		default:
			return fmt.Errorf("watch of nodes: %s", event.Type)
		}
		changed(nodes)
	}
}
