// Command cluster is kube-apiserver and kube-controller-manager in one program, for the tests of the operator.
//
// The name under which it is called, or its first argument, selects the component.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	components := map[string]func() *cobra.Command{
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	}
	if len(os.Args) < 2 || components[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: cluster kube-apiserver|kube-controller-manager FLAGS")
		os.Exit(2)
	}
	command := components[os.Args[1]]()
	os.Args = append(os.Args[:1:1], os.Args[2:]...)
	os.Exit(cli.Run(command))
}
