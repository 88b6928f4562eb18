package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// cniConfig is what the container runtime needs to give a pod its address: a bridge
// with an address of the node's subnet, and ports forwarded by nftables. It is the
// same that flannel's own CNI plugin would hand to the bridge plugin.
func cniConfig(network, subnet string, mtu int) ([]byte, error) {
	type object = map[string]any
	return json.MarshalIndent(object{
		"cniVersion": "1.0.0",
		"name":       "cbr0",
		"plugins": []object{
			{
				"type":             "bridge",
				"bridge":           "cni0",
				"mtu":              mtu,
				"isDefaultGateway": true,
				"hairpinMode":      true,
				// Done by flanneld's own rules, for the network as a whole.
				"ipMasq": false,
				"ipam": object{
					"type":   "host-local",
					"ranges": [][]object{{{"subnet": subnet}}},
					"routes": []object{{"dst": network}},
					// A reboot takes the pods with it, so it must take their leases too.
					"dataDir": "/run/cni/networks",
				},
			},
			{
				"type":         "portmap",
				"capabilities": object{"portMappings": true},
				"backend":      "nftables",
			},
		},
	}, "", "  ")
}

// writeCNIConfig puts the configuration in place with one rename: the runtime watches
// the directory and must not read half a file.
func writeCNIConfig(path, network, subnet string, mtu int) error {
	config, err := cniConfig(network, subnet, mtu)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	// The runtime reads only names ending in .conf, .conflist and .json.
	next := path + ".next"
	if err := os.WriteFile(next, append(config, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
