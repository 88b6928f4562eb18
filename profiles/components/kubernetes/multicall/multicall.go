// Package multicall runs one of several Kubernetes commands out of one binary,
// chosen by the name the binary was started under. The commands share nearly all
// of their code, so one file of five is a third of the size of five files.
package multicall

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"

	// What every upstream main registers for its side effects.
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// Run builds and executes the command named like the running binary and never
// returns. Only that command is built: building one registers its flags and
// feature gates for the whole process.
func Run(commands map[string]func() *cobra.Command) {
	name := filepath.Base(os.Args[0])
	build, known := commands[name]
	if !known {
		names := slices.Sorted(maps.Keys(commands))
		fmt.Fprintf(os.Stderr, "%q is none of %s: start this binary under one of these names\n", name, strings.Join(names, ", "))
		os.Exit(2)
	}
	os.Exit(cli.Run(build()))
}
