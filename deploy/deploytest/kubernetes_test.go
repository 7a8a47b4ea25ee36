package deploytest

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// purchaseTimeout is the default of purchase_timeout, in seconds. Whoever stops
// topupd must wait longer, or the answer to a purchase that has left is lost.
const purchaseTimeout = 75

// manifests renders the base as `kubectl kustomize` does and decodes every object
// as Kubernetes would, refusing fields that it does not know or finds twice.
func manifests(t *testing.T) []runtime.Object {
	t.Helper()
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), File("kubernetes"))
	if err != nil {
		t.Fatalf("rendering deploy/kubernetes: %v", err)
	}
	strict := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var objects []runtime.Object
	for _, r := range rendered.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatalf("%s: %v", r.CurId(), err)
		}
		object, _, err := strict.Decode(text, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", r.CurId(), err)
		}
		objects = append(objects, object)
	}
	return objects
}

// one returns the only object of a type.
func one[T runtime.Object](t *testing.T, objects []runtime.Object) T {
	t.Helper()
	var found []T
	for _, o := range objects {
		if o, ok := o.(T); ok {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		var zero T
		t.Fatalf("found %d of %T, want 1", len(found), zero)
	}
	return found[0]
}

func TestManifestsFitTogether(t *testing.T) {
	t.Parallel()
	objects := manifests(t)
	deployment := one[*appsv1.Deployment](t, objects)
	pod := deployment.Spec.Template
	own := pod.Labels["app.kubernetes.io/name"]
	if own != "topupd" {
		t.Fatalf("the pods are labelled %v", pod.Labels)
	}
	for name, selector := range map[string]map[string]string{
		"Deployment":          deployment.Spec.Selector.MatchLabels,
		"Service":             one[*corev1.Service](t, objects).Spec.Selector,
		"PodDisruptionBudget": one[*policyv1.PodDisruptionBudget](t, objects).Spec.Selector.MatchLabels,
		"NetworkPolicy":       one[*networkingv1.NetworkPolicy](t, objects).Spec.PodSelector.MatchLabels,
	} {
		if selector["app.kubernetes.io/name"] != own {
			t.Errorf("%s selects %v, which are not our pods", name, selector)
		}
	}
	if got, want := pod.Spec.ServiceAccountName, one[*corev1.ServiceAccount](t, objects).Name; got != want {
		t.Errorf("the pods run as %q, the account is %q", got, want)
	}
	checkVolumes(t, pod.Spec, objects)
	checkPorts(t, objects)
}

// checkVolumes fails when a container mounts what no volume holds, or when a
// volume takes a ConfigMap that was not rendered. Mounts may not lie inside each
// other: a read-only volume has no folder for a second one.
func checkVolumes(t *testing.T, pod corev1.PodSpec, objects []runtime.Object) {
	t.Helper()
	var maps, volumes []string
	for _, o := range objects {
		if o, ok := o.(*corev1.ConfigMap); ok {
			maps = append(maps, o.Name)
		}
	}
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
		if v.ConfigMap != nil && !slices.Contains(maps, v.ConfigMap.Name) {
			t.Errorf("volume %s takes ConfigMap %s; rendered were %v", v.Name, v.ConfigMap.Name, maps)
		}
	}
	mounts := pod.Containers[0].VolumeMounts
	for _, m := range mounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("%s mounts %s, which is no volume", m.MountPath, m.Name)
		}
		for _, other := range mounts {
			if strings.HasPrefix(m.MountPath, other.MountPath+"/") {
				t.Errorf("%s is mounted inside %s", m.MountPath, other.MountPath)
			}
		}
	}
}

// checkPorts fails when the probes, the Service and the policy mean another port
// than the one that the configuration listens on.
func checkPorts(t *testing.T, objects []runtime.Object) {
	t.Helper()
	const port = 9846
	c := one[*appsv1.Deployment](t, objects).Spec.Template.Spec.Containers[0]
	if c.Ports[0].ContainerPort != port {
		t.Errorf("the container's port is %d, want %d", c.Ports[0].ContainerPort, port)
	}
	for name, probe := range map[string]*corev1.Probe{
		"/-/healthy": c.LivenessProbe,
		"/-/ready":   c.ReadinessProbe,
	} {
		if probe.HTTPGet.Path != name || probe.HTTPGet.Port.String() != c.Ports[0].Name {
			t.Errorf("a probe asks %s on port %s, want %s on %s", probe.HTTPGet.Path, probe.HTTPGet.Port.String(), name, c.Ports[0].Name)
		}
	}
	service := one[*corev1.Service](t, objects).Spec.Ports[0]
	if service.Port != port || service.TargetPort.String() != c.Ports[0].Name {
		t.Errorf("the Service leads from %d to %s", service.Port, service.TargetPort.String())
	}
	if in := one[*networkingv1.NetworkPolicy](t, objects).Spec.Ingress[0].Ports[0].Port; in.IntValue() != port {
		t.Errorf("the NetworkPolicy lets port %s in, want %d", in.String(), port)
	}
	if config := string(read(t, File("kubernetes", "config", "topupd.yml"))); !strings.Contains(config, "listen: 0.0.0.0:9846") {
		t.Errorf("the configuration does not listen on port %d of every address", port)
	}
}

func TestPodsMayDoLittle(t *testing.T) {
	t.Parallel()
	objects := manifests(t)
	pod := one[*appsv1.Deployment](t, objects).Spec.Template.Spec
	c := pod.Containers[0]
	yes := func(b *bool) bool { return b != nil && *b }
	no := func(b *bool) bool { return b != nil && !*b }
	for what, holds := range map[string]bool{
		"runs as a user other than root":            yes(pod.SecurityContext.RunAsNonRoot) && *pod.SecurityContext.RunAsUser == 65532,
		"cannot write to its image":                 yes(c.SecurityContext.ReadOnlyRootFilesystem),
		"cannot gain rights":                        no(c.SecurityContext.AllowPrivilegeEscalation),
		"has no capability":                         slices.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}),
		"is held to the runtime's system calls":     pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"has no token for Kubernetes":               no(pod.AutomountServiceAccountToken) && no(one[*corev1.ServiceAccount](t, objects).AutomountServiceAccountToken),
		"has bounded memory":                        !c.Resources.Limits.Memory().IsZero(),
		"has no limit on CPU, which would stall it": c.Resources.Limits.Cpu().IsZero(),
	} {
		if !holds {
			t.Errorf("it is not so that the pod %s", what)
		}
	}
}

func TestPodsAreGivenTimeToStop(t *testing.T) {
	t.Parallel()
	deployment := one[*appsv1.Deployment](t, manifests(t))
	if got := *deployment.Spec.Template.Spec.TerminationGracePeriodSeconds; got < purchaseTimeout+30 {
		t.Errorf("terminationGracePeriodSeconds is %d, want at least purchase_timeout (%d) and 30 more", got, purchaseTimeout)
	}
	if got := *deployment.Spec.Replicas; got != 2 {
		t.Errorf("replicas: %d, want 2", got)
	}
}

func TestTheRulesOfKubernetesAreTheExample(t *testing.T) {
	t.Parallel()
	example := read(t, File("example", "rules", "api-credits.yml"))
	if got := read(t, File("kubernetes", "config", "rules", "api-credits.yml")); string(got) != string(example) {
		t.Error("deploy/kubernetes/config/rules/api-credits.yml differs from deploy/example/rules/api-credits.yml: copy it")
	}
}
