package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// waitForPodCIDR returns when the node exists and the controller manager has given it
// a subnet. While a cluster comes up neither is so for a while, and that is no error.
func waitForPodCIDR(ctx context.Context, kubeconfig, name string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	// A silent peer must not hold an attempt for longer than this.
	config.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for said := ""; ; {
		why := ""
		switch node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); {
		case err != nil:
			why = err.Error()
		case node.Spec.PodCIDR == "":
			why = "it has no pod subnet yet"
		default:
			return nil
		}
		if why != said {
			klog.Infof("waiting for node %s: %s", name, why)
			said = why
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
