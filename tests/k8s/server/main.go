// Command kubernetes-cluster is kube-apiserver, and the controllers of kube-controller-manager that the operator's objects depend
// on, in one program for the tests.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	components := map[string]func() *cobra.Command{
		"kube-apiserver": apiserver.NewAPIServerCommand,
		"controllers":    newControllersCommand,
	}
	if len(os.Args) < 2 || components[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: kubernetes-cluster kube-apiserver|controllers FLAGS")
		os.Exit(2)
	}
	command := components[os.Args[1]]()
	os.Args = append(os.Args[:1:1], os.Args[2:]...)
	os.Exit(cli.Run(command))
}
