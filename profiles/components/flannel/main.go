// Command flanneld joins this machine to the pod network: it takes the node's pod
// subnet from the Kubernetes API, sets up the backend and the nftables rules, and
// keeps routes to the other nodes.
//
// Upstream's main cannot be built from modules alone (one of its backends needs a
// package that is not published as one), so this is our own over upstream's packages,
// with only what Slipway uses: the Kubernetes subnet manager, the vxlan and host-gw
// backends, nftables, IPv4. It differs in two things. It waits for the node to exist
// and to have a subnet instead of exiting, and it writes the CNI configuration itself
// once the network works, which is what makes the node Ready.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/hostgw"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/nftables"
	"k8s.io/klog/v2"
)

// The prefix of the annotations by which flannel's nodes find each other.
const annotationPrefix = "flannel.alpha.coreos.com"

type options struct {
	kubeconfig string
	nodeName   string
	iface      string
	netConfig  string
	subnetFile string
	cniConfig  string
	ipMasq     bool
	healthz    string
}

func parseFlags() (options, error) {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig-file", "", "kubeconfig of the node")
	flag.StringVar(&o.nodeName, "node-name", os.Getenv("NODE_NAME"), "name of the node object of this machine")
	flag.StringVar(&o.iface, "iface", "", "name or address of the interface to the other nodes; the one with the default route if empty")
	flag.StringVar(&o.netConfig, "net-config-path", "/etc/kube-flannel/net-conf.json", "the network and its backend")
	flag.StringVar(&o.subnetFile, "subnet-file", "/run/flannel/subnet.env", "where to write this node's subnet and MTU")
	flag.StringVar(&o.cniConfig, "cni-config-file", "", "where to write the CNI configuration of this node; none if empty")
	flag.BoolVar(&o.ipMasq, "ip-masq", false, "masquerade what leaves the pod network")
	flag.StringVar(&o.healthz, "healthz-address", "", "host:port that answers /healthz with 200 once the network works; none if empty")
	klog.InitFlags(nil)
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case o.kubeconfig == "":
		return o, errors.New("--kubeconfig-file is missing")
	case o.nodeName == "":
		return o, errors.New("--node-name is missing")
	}
	// The subnet manager knows no other way to be told.
	return o, os.Setenv("NODE_NAME", o.nodeName)
}

func main() {
	o, err := parseFlags()
	if err != nil {
		fmt.Fprintln(os.Stderr, "flanneld:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "flanneld:", err)
		os.Exit(1)
	}
}

// run sets the network up and keeps it until the context ends. The order is
// upstream's: device and lease, rules, subnet file, then the watch of the others.
func run(parent context.Context, o options) error {
	ctx, cancel := context.WithCancel(parent)
	var backends sync.WaitGroup
	defer backends.Wait()
	defer cancel()

	health, err := serveHealth(ctx, o.healthz)
	if err != nil {
		return err
	}
	// The manager takes a second to see the nodes that there are, and needs no subnet for it.
	subnetKnown := make(chan error, 1)
	go func() { subnetKnown <- waitForPodCIDR(ctx, o.kubeconfig, o.nodeName) }()
	manager, err := kube.NewSubnetManager(ctx, "", o.kubeconfig, annotationPrefix, o.netConfig, true)
	if err != nil {
		return fmt.Errorf("creating the subnet manager: %w", err)
	}
	if err := <-subnetKnown; err != nil {
		return err
	}
	config, err := manager.GetNetworkConfig(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", o.netConfig, err)
	}
	if !config.EnableNFTables || !config.EnableIPv4 || config.EnableIPv6 {
		return fmt.Errorf("reading %s: this flanneld does IPv4 with nftables only", o.netConfig)
	}
	network, err := register(ctx, o, manager, config, &backends)
	if err != nil {
		return err
	}
	lease := network.Lease()

	var rules nftables.NFTablesManager
	if err := rules.Init(ctx); err != nil {
		return fmt.Errorf("creating the nftables tables: %w", err)
	}
	if o.ipMasq {
		// The previous subnet matters to the iptables manager alone; here the chain is replaced as a whole.
		var none4 ip.IP4Net
		var none6 ip.IP6Net
		if err := rules.SetupAndEnsureMasqRules(ctx, config.Network, none4, none4, none6, none6, none6, lease, 0, false); err != nil {
			return fmt.Errorf("writing the masquerading rules: %w", err)
		}
	}
	rules.SetupAndEnsureForwardRules(ctx, config.Network, ip.IP6Net{}, 0)

	if err := manager.HandleSubnetFile(o.subnetFile, config, o.ipMasq, lease.Subnet, lease.IPv6Subnet, network.MTU()); err != nil {
		return fmt.Errorf("writing %s: %w", o.subnetFile, err)
	}
	if err := manager.CompleteLease(ctx, lease, &backends); err != nil {
		return fmt.Errorf("clearing the node's NetworkUnavailable condition: %w", err)
	}
	if o.cniConfig != "" {
		if err := writeCNIConfig(o.cniConfig, config.Network.String(), lease.Subnet.String(), network.MTU()); err != nil {
			return err
		}
	}
	health.ready()
	klog.Infof("subnet %s of %s, mtu %d", lease.Subnet, config.Network, network.MTU())

	network.Run(ctx)
	if parent.Err() == nil {
		return errors.New("the backend stopped by itself")
	}
	return nil
}

// register creates the backend on the chosen interface and publishes this node's lease.
func register(ctx context.Context, o options, manager subnet.Manager, config *subnet.Config, backends *sync.WaitGroup) (backend.Network, error) {
	stack, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return nil, err
	}
	// An annotation on the node may say that the others reach it under another address.
	public, _ := manager.GetStoredPublicIP(ctx)
	iface, err := ipmatch.LookupExtIface(o.iface, "", "", stack, ipmatch.PublicIPOpts{PublicIP: public})
	if err != nil {
		return nil, fmt.Errorf("finding the interface to the other nodes: %w", err)
	}
	b, err := backend.NewManager(ctx, manager, iface).GetBackend(config.BackendType)
	if err != nil {
		return nil, fmt.Errorf("creating the backend: %w", err)
	}
	network, err := b.RegisterNetwork(ctx, backends, config)
	if err != nil {
		return nil, fmt.Errorf("registering the network: %w", err)
	}
	return network, nil
}
