// Command node holds what every machine that runs pods needs: kubelet and kube-proxy.
package main

import (
	"context"

	"github.com/spf13/cobra"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"slipway.local/kubernetes/multicall"
)

func main() {
	multicall.Run(map[string]func() *cobra.Command{
		"kube-proxy": proxy.NewProxyCommand,
		"kubelet":    func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	})
}
