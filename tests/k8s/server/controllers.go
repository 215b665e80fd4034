package main

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	core "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/cronjob"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/volume/persistentvolume"
	"k8s.io/kubernetes/pkg/controller/volume/pvcprotection"
	"k8s.io/kubernetes/pkg/controller/volume/pvprotection"
)

const (
	resync  = 12 * time.Hour
	workers = 4
	// How soon the garbage collector learns of new kinds.
	discoveryPeriod = time.Second
	// How soon a claim is looked at again that could not be bound.
	binderPeriod = time.Second
)

// newControllersCommand returns the command that runs those controllers of kube-controller-manager that the operator's objects
// depend on. The whole program would bring kubelet, scheduler and all kinds of volumes: twice the time to build.
func newControllersCommand() *cobra.Command {
	var kubeconfig, rootCA, health string
	command := &cobra.Command{
		Use:  "controllers",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return runControllers(command.Context(), kubeconfig, rootCA, health)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "connection to the API server")
	command.Flags().StringVar(&rootCA, "root-ca-file", "", "certificate authority that every namespace gets")
	command.Flags().StringVar(&health, "health-address", "", "where /healthz is served")
	return command
}

func runControllers(ctx context.Context, kubeconfig, rootCA, health string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 500, 1000
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(rootCA)
	if err != nil {
		return err
	}
	typed := informers.NewSharedInformerFactory(client, resync)
	untyped := metadatainformer.NewSharedInformerFactory(metadataClient, resync)
	started := make(chan struct{})
	runs, err := controllers(ctx, client, metadataClient, authority, typed, untyped, started)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range runs {
		group.Go(func() error {
			run(ctx)
			return nil
		})
	}
	typed.Start(ctx.Done())
	untyped.Start(ctx.Done())
	close(started)
	group.Go(func() error {
		handler := http.NewServeMux()
		handler.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) { answer.WriteHeader(http.StatusOK) })
		return http.ListenAndServe(health, handler)
	})
	return group.Wait()
}

// controllers returns the functions that run the controllers until their context ends.
func controllers(
	ctx context.Context,
	client kubernetes.Interface,
	metadataClient metadata.Interface,
	authority []byte,
	typed informers.SharedInformerFactory,
	untyped metadatainformer.SharedInformerFactory,
	started <-chan struct{},
) ([]func(context.Context), error) {
	logger := klog.FromContext(ctx)
	batch, v1 := typed.Batch().V1(), typed.Core().V1()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))

	jobs, err := job.NewController(ctx, client, v1.Pods(), batch.Jobs(), nil, nil)
	if err != nil {
		return nil, err
	}
	cronJobs, err := cronjob.NewControllerV2(ctx, batch.Jobs(), batch.CronJobs(), client)
	if err != nil {
		return nil, err
	}
	collector, err := garbagecollector.NewGarbageCollector(
		ctx, client, metadataClient, mapper, garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(typed, untyped), started,
	)
	if err != nil {
		return nil, err
	}
	namespaces := namespace.NewNamespaceController(
		ctx, client, metadataClient, client.Discovery().ServerPreferredNamespacedResources, v1.Namespaces(), resync,
		core.FinalizerKubernetes,
	)
	accounts, err := serviceaccount.NewServiceAccountsController(
		logger, v1.ServiceAccounts(), v1.Namespaces(), client, serviceaccount.DefaultServiceAccountsControllerOptions(),
	)
	if err != nil {
		return nil, err
	}
	publisher, err := rootcacertpublisher.NewPublisher(v1.ConfigMaps(), v1.Namespaces(), client, authority)
	if err != nil {
		return nil, err
	}
	binder, err := persistentvolume.NewController(ctx, persistentvolume.ControllerParameters{
		KubeClient:                client,
		SyncPeriod:                binderPeriod,
		VolumeInformer:            v1.PersistentVolumes(),
		ClaimInformer:             v1.PersistentVolumeClaims(),
		ClassInformer:             typed.Storage().V1().StorageClasses(),
		PodInformer:               v1.Pods(),
		NodeInformer:              v1.Nodes(),
		EnableDynamicProvisioning: true,
	})
	if err != nil {
		return nil, err
	}
	claimProtection, err := pvcprotection.NewPVCProtectionController(logger, v1.PersistentVolumeClaims(), v1.Pods(), client)
	if err != nil {
		return nil, err
	}
	volumeProtection, err := pvprotection.NewPVProtectionController(logger, v1.PersistentVolumes(), client)
	if err != nil {
		return nil, err
	}
	return []func(context.Context){
		func(ctx context.Context) { jobs.Run(ctx, workers) },
		func(ctx context.Context) { cronJobs.Run(ctx, workers) },
		func(ctx context.Context) { collector.Run(ctx, workers, 30*time.Second) },
		func(ctx context.Context) { collector.Sync(ctx, client.Discovery(), discoveryPeriod) },
		func(ctx context.Context) { namespaces.Run(ctx, workers) },
		func(ctx context.Context) { accounts.Run(ctx, 1) },
		func(ctx context.Context) { publisher.Run(ctx, 1) },
		binder.Run,
		func(ctx context.Context) { claimProtection.Run(ctx, 1) },
		func(ctx context.Context) { volumeProtection.Run(ctx, 1) },
	}, nil
}
