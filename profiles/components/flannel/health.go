package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

type health struct{ up atomic.Bool }

func (h *health) ready() { h.up.Store(true) }

func (h *health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if !h.up.Load() {
		http.Error(w, "the pod network is not up yet", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// serveHealth answers /healthz on the address until the context ends; an empty
// address serves nothing.
func serveHealth(ctx context.Context, address string) (*health, error) {
	h := &health{}
	if address == "" {
		return h, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/healthz", h)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go func() {
		if err := server.Serve(listener); err != nil && ctx.Err() == nil {
			klog.Errorf("serving health on %s: %v", address, err)
		}
	}()
	return h, nil
}
