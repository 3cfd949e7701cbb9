//go:build e2e

package container

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// manifest is packaging/kubernetes/spoolship.yaml.
type manifest struct {
	namespace core.Namespace
	account   core.ServiceAccount
	config    core.ConfigMap
	daemon    apps.DaemonSet
}

// readManifest decodes it strictly: neither unknown nor doubled fields.
func readManifest(t *testing.T) *manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(checkout, "packaging/kubernetes/spoolship.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := &manifest{}
	kinds := map[string]any{
		"v1 Namespace": &m.namespace, "v1 ServiceAccount": &m.account, "v1 ConfigMap": &m.config, "apps/v1 DaemonSet": &m.daemon,
	}
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			t.Fatal(err)
		}
		name := kind.APIVersion + " " + kind.Kind
		to := kinds[name]
		if to == nil {
			t.Fatalf("%s is unknown, or there twice", name)
		}
		if err := yaml.UnmarshalStrict(doc, to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		delete(kinds, name)
	}
	for name := range kinds {
		t.Errorf("%s is missing", name)
	}
	return m
}

// toml is the agent's configuration.
func (m *manifest) toml() string { return m.config.Data["spoolship.toml"] }

// Its parts fit together.
func TestManifest(t *testing.T) {
	m := readManifest(t)
	for _, meta := range []string{m.account.Namespace, m.config.Namespace, m.daemon.Namespace} {
		if meta != m.namespace.Name {
			t.Errorf("namespace %q, not %q", meta, m.namespace.Name)
		}
	}
	pod := m.daemon.Spec.Template
	for k, v := range m.daemon.Spec.Selector.MatchLabels {
		if pod.Labels[k] != v {
			t.Errorf("the selector's label %s is not the pod's", k)
		}
	}
	if pod.Spec.ServiceAccountName != m.account.Name || len(pod.Spec.Containers) != 1 {
		t.Fatalf("service account %q, %d containers", pod.Spec.ServiceAccountName, len(pod.Spec.Containers))
	}
	c := pod.Spec.Containers[0]
	if c.Command != nil || c.Args != nil {
		t.Error("the image's own command is replaced")
	}
	mounts(t, m, &pod.Spec, &c)
	rights(t, c.SecurityContext)
	port := c.Ports[0]
	if !strings.Contains(m.toml(), `listen = "0.0.0.0:9464"`) || port.ContainerPort != 9464 {
		t.Errorf("port %d is not what is listened on", port.ContainerPort)
	}
	for path, p := range map[string]*core.Probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path || p.HTTPGet.Port.StrVal != port.Name {
			t.Errorf("no probe of %s", path)
		}
	}
	if len(c.Env) != 1 || !strings.Contains(m.toml(), "${"+c.Env[0].Name+"}") {
		t.Error("the environment is not what the configuration asks for")
	}
}

// mounts checks that what the agent reads and writes is a volume.
func mounts(t *testing.T, m *manifest, pod *core.PodSpec, c *core.Container) {
	t.Helper()
	volumes := map[string]core.VolumeSource{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v.VolumeSource
	}
	writable := []string{"/run/spoolship", "/var/lib/spoolship"}
	at := map[string]core.VolumeSource{}
	for _, v := range c.VolumeMounts {
		if _, ok := volumes[v.Name]; !ok {
			t.Errorf("no volume %s", v.Name)
		}
		if v.ReadOnly == slices.Contains(writable, v.MountPath) {
			t.Errorf("%s: read-only: %v", v.MountPath, v.ReadOnly)
		}
		at[v.MountPath] = volumes[v.Name]
	}
	if v := at["/etc/spoolship"].ConfigMap; v == nil || v.Name != m.config.Name {
		t.Error("/etc/spoolship is not the config map")
	}
	if v := at["/run/secrets/spoolship"].Secret; v == nil || !strings.Contains(m.toml(), `"/run/secrets/spoolship/access_key_id"`) {
		t.Error("the keys are not where the configuration looks for them")
	}
	for _, path := range []string{"/var/log", "/var/lib/spoolship"} {
		if v := at[path].HostPath; v == nil || v.Path != path {
			t.Errorf("%s is not the node's", path)
		}
	}
	if v := at["/run/spoolship"].EmptyDir; v == nil {
		t.Error("there is no place for the socket")
	}
}

func rights(t *testing.T, s *core.SecurityContext) {
	t.Helper()
	switch {
	case s == nil || s.Capabilities == nil || s.ReadOnlyRootFilesystem == nil || s.AllowPrivilegeEscalation == nil:
		t.Error("the agent is not confined")
	case s.Privileged != nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation:
		t.Error("the agent may do too much")
	case !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || !slices.Equal(s.Capabilities.Add, []core.Capability{"DAC_READ_SEARCH"}):
		t.Errorf("capabilities %v", s.Capabilities)
	}
}
