package cause_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// podTemplate makes a pod template.
func podTemplate(track, image string) string {
	return fmt.Sprintf(`{"metadata":{"labels":{"track":%q}},"spec":{"containers":[{"name":"c","image":%q}]}}`, track, image)
}

// home is the namespace of a track: few, so that tracks are in each other's way.
func home(track string) string {
	if track[3]%2 == 0 {
		return "shop"
	}
	return "pay"
}

func path(resource, track string) string {
	group := "/apis/apps/v1"
	switch resource {
	case "pods", "services", "configmaps", "resourcequotas", "serviceaccounts":
		group = "/api/v1"
	case "jobs", "cronjobs":
		group = "/apis/batch/v1"
	case "horizontalpodautoscalers":
		group = "/apis/autoscaling/v2"
	case "poddisruptionbudgets":
		group = "/apis/policy/v1"
	}
	return group + "/namespaces/" + home(track) + "/" + resource
}

type doer = func(ctx context.Context, s *scene, track, who string)

// create makes an object of a workload API.
func create(resource, kind, spec string) doer {
	return func(ctx context.Context, s *scene, track, who string) {
		spec := strings.NewReplacer("TEMPLATE", podTemplate(track, "image/a"), "TRACK", track).Replace(spec)
		s.must(ctx, who, "POST", path(resource, track), fmt.Sprintf(`{"kind":%q,"metadata":{"name":%q,"labels":{"track":%q}},"spec":%s}`, kind, track+"-web", track, spec))
	}
}

func patch(resource, body string) doer {
	return func(ctx context.Context, s *scene, track, who string) {
		s.must(ctx, who, "PATCH", path(resource, track)+"/"+track+"-web", strings.ReplaceAll(body, "TRACK", track))
	}
}

func scale(resource string, n int) doer {
	return func(ctx context.Context, s *scene, track, who string) {
		s.must(ctx, who, "PATCH", path(resource, track)+"/"+track+"-web/scale", fmt.Sprintf(`{"spec":{"replicas":%d}}`, n))
	}
}

func remove(resource, policy string) doer {
	return func(ctx context.Context, s *scene, track, who string) {
		s.must(ctx, who, "DELETE", path(resource, track)+"/"+track+"-web", fmt.Sprintf(`{"propagationPolicy":%q}`, policy))
	}
}

func image(name string) string {
	return fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":%q}]}}}}`, name)
}

const restart = `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-21T10:00:00Z"}}}}}`

// victims are the names of the pods of a track.
func (s *scene) victims(ctx context.Context, track string) (names []string) {
	var list struct{ Items []pod }
	_, text := s.send(ctx, "admin", "GET", path("pods", track)+"?labelSelector=track="+track, "")
	must(s.t, json.Unmarshal(text, &list))
	for i := range list.Items {
		if list.Items[i].Metadata.DeletionTimestamp == "" {
			names = append(names, list.Items[i].Metadata.Name)
		}
	}
	return names
}

func deletePod(ctx context.Context, s *scene, track, who string) {
	if v := s.victims(ctx, track); len(v) > 0 {
		s.must(ctx, who, "DELETE", path("pods", track)+"/"+v[0], "")
	}
}

func evict(ctx context.Context, s *scene, track, who string) {
	for _, v := range s.victims(ctx, track) {
		s.must(ctx, who, "POST", path("pods", track)+"/"+v+"/eviction",
			fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":%q,"namespace":%q}}`, v, home(track)))
	}
}

func deleteAll(resource string) doer {
	return func(ctx context.Context, s *scene, track, who string) {
		s.must(ctx, who, "DELETE", path(resource, track)+"?labelSelector=track%3D"+track, `{"propagationPolicy":"Background"}`)
	}
}

const deploymentSpec = `{"replicas":2,"selector":{"matchLabels":{"track":"TRACK"}},"template":TEMPLATE}`
const statefulSpec = `{"replicas":2,"serviceName":"x","selector":{"matchLabels":{"track":"TRACK"}},"template":TEMPLATE}`
const daemonSpec = `{"selector":{"matchLabels":{"track":"TRACK"}},"template":TEMPLATE}`
const jobSpec = `{"parallelism":2,"completions":2,"template":{"metadata":{"labels":{"track":"TRACK"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}`

func deployment() doer { return create("deployments", "Deployment", deploymentSpec) }

// script is what everybody does: tracks of actions on objects of their own.
func script() (tracks [][]deed) {
	add := func(n int, acts ...deed) {
		crew := []string{"alice", "bob", "carol", "ci", "veeru"}
		for range n {
			track := make([]deed, len(acts))
			for i, a := range acts {
				if a.who == "" {
					a.who = crew[(len(tracks)+i*2)%len(crew)]
				}
				track[i] = a
			}
			tracks = append(tracks, track)
		}
	}
	do := func(what string, d doer) deed { return deed{what: what, do: d} }
	add(5, do("create", deployment()), do("scale up", scale("deployments", 4)), do("image", patch("deployments", image("image/b"))),
		do("restart", patch("deployments", restart)), do("delete", remove("deployments", "Background")))
	add(4, do("create", deployment()), do("image", patch("deployments", image("image/b"))), do("undo", patch("deployments", image("image/a"))),
		do("scale down", scale("deployments", 1)), do("delete foreground", remove("deployments", "Foreground")))
	add(3, do("create", deployment()), do("label", patch("deployments", `{"metadata":{"labels":{"a":"b"}}}`)), do("scale", patch("deployments", `{"spec":{"replicas":3}}`)),
		do("delete orphan", remove("deployments", "Orphan")), do("delete all replicasets", deleteAll("replicasets")))
	add(4, do("create", deployment()), do("delete pod", deletePod), do("evict", evict), do("delete all deployments", deleteAll("deployments")))
	add(4, do("create", create("statefulsets", "StatefulSet", statefulSpec)), do("scale", scale("statefulsets", 3)), do("delete pod", deletePod),
		do("image", patch("statefulsets", image("image/b"))), do("delete", remove("statefulsets", "Background")))
	add(3, do("create", create("daemonsets", "DaemonSet", daemonSpec)), do("image", patch("daemonsets", image("image/b"))), do("delete pod", deletePod),
		do("delete", remove("daemonsets", "Foreground")))
	add(4, do("create", create("replicasets", "ReplicaSet", deploymentSpec)), do("scale up", scale("replicasets", 4)), do("scale down", scale("replicasets", 1)),
		do("delete pod", deletePod), do("delete", remove("replicasets", "Background")))
	add(4, do("create", create("jobs", "Job", jobSpec)), do("delete", remove("jobs", "Background")))
	add(2, deed{what: "create", do: create("cronjobs", "CronJob", `{"schedule":"* * * * *","jobTemplate":{"spec":`+jobSpec+`}}`), root: "own:cronjob-controller"},
		deed{what: "delete", do: remove("cronjobs", "Background"), wait: 50 * time.Second, until: afterTheMinute})
	add(3, do("create", create("services", "Service", `{"selector":{"track":"TRACK"},"ports":[{"port":80}]}`)), do("deployment", deployment()),
		do("scale", scale("deployments", 3)), do("delete service", remove("services", "Background")), do("delete", remove("deployments", "Background")))
	add(2, do("create", deployment()),
		deed{what: "autoscale", root: "own:horizontal-pod-autoscaler", do: func(ctx context.Context, s *scene, track, who string) {
			s.must(ctx, who, "POST", path("horizontalpodautoscalers", track), fmt.Sprintf(
				`{"metadata":{"name":"%s-web"},"spec":{"minReplicas":4,"maxReplicas":6,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"%s-web"}}}`, track, track))
		}}, deed{what: "stop", do: remove("horizontalpodautoscalers", "Background"), wait: 8 * time.Second}, do("delete", remove("deployments", "Background")))
	add(3, do("quota", create("resourcequotas", "ResourceQuota", `{"hard":{"secrets":"100"}}`)), do("delete", remove("resourcequotas", "Background")))
	add(3, do("budget", create("poddisruptionbudgets", "PodDisruptionBudget", `{"minAvailable":0,"selector":{"matchLabels":{"track":"TRACK"}}}`)),
		do("create", deployment()), do("evict", evict), do("delete", remove("deployments", "Background")))
	add(5, namespaceTrack()...)
	add(3, configMapTrack()...)
	add(2, customTrack()...)
	add(2, do("aggregate", func(ctx context.Context, s *scene, track, who string) {
		s.must(ctx, who, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", fmt.Sprintf(
			`{"metadata":{"name":"%s-web","labels":{"rbac.authorization.k8s.io/aggregate-to-view":"true"}},"rules":[{"apiGroups":["x"],"resources":["y"],"verbs":["get"]}]}`, track))
	}))
	add(3, do("create", deployment()), deed{what: "duel", do: duel, no: true}, deed{what: "delete", do: remove("deployments", "Background"), wait: 8 * time.Second})
	return tracks
}

// duel has two people change the same thing at the same time.
func duel(ctx context.Context, s *scene, track, _ string) {
	var both sync.WaitGroup
	for _, who := range []string{"alice", "bob"} {
		both.Go(func() { patch("deployments", image("duel/"+who))(ctx, s, track, who) })
	}
	both.Wait()
}

// namespaceTrack fills a namespace of its own, and deletes it.
func namespaceTrack() []deed {
	return []deed{
		{what: "create namespace", do: func(ctx context.Context, s *scene, track, who string) {
			s.must(ctx, who, "POST", "/api/v1/namespaces", fmt.Sprintf(`{"metadata":{"name":"%s-ns"}}`, track))
		}},
		{what: "fill it", do: func(ctx context.Context, s *scene, track, who string) {
			s.must(ctx, who, "POST", "/apis/apps/v1/namespaces/"+track+"-ns/deployments", fmt.Sprintf(
				`{"metadata":{"name":"%s-web"},"spec":%s}`, track, strings.NewReplacer("TEMPLATE", podTemplate(track, "image/a"), "TRACK", track).Replace(deploymentSpec)))
			s.must(ctx, who, "POST", "/api/v1/namespaces/"+track+"-ns/configmaps", fmt.Sprintf(`{"metadata":{"name":"%s-cm"}}`, track))
		}},
		{what: "delete service account", do: func(ctx context.Context, s *scene, track, who string) {
			s.must(ctx, who, "DELETE", "/api/v1/namespaces/"+track+"-ns/serviceaccounts/default", "")
		}},
		{what: "delete namespace", do: func(ctx context.Context, s *scene, track, who string) {
			s.must(ctx, who, "DELETE", "/api/v1/namespaces/"+track+"-ns", "")
		}},
	}
}

// owned makes an object that belongs to another one.
func (s *scene) owned(ctx context.Context, who, track string, n int, apiVersion, kind, name, uid string) {
	s.must(ctx, who, "POST", path("configmaps", track), fmt.Sprintf(
		`{"metadata":{"name":"%s-child-%d","ownerReferences":[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q}]}}`, track, n, apiVersion, kind, name, uid))
}

func uidOf(text []byte) string {
	var x struct{ Metadata struct{ UID string } }
	_ = json.Unmarshal(text, &x) // an empty uid is refused where it is used
	return x.Metadata.UID
}

// configMapTrack has objects that a person made belong to another one, which somebody
// else deletes.
func configMapTrack() []deed {
	return []deed{
		{what: "create", do: func(ctx context.Context, s *scene, track, who string) {
			uid := uidOf(s.must(ctx, who, "POST", path("configmaps", track), fmt.Sprintf(`{"metadata":{"name":"%s-web"}}`, track)))
			for n := range 3 {
				s.owned(ctx, who, track, n, "v1", "ConfigMap", track+"-web", uid)
			}
		}},
		{what: "delete", do: remove("configmaps", "Background")},
	}
}

// customTrack does the same with a custom resource.
func customTrack() []deed {
	things := func(track string) string {
		return "/apis/" + track + ".example.com/v1/namespaces/" + home(track) + "/things"
	}
	return []deed{
		{what: "define", do: func(ctx context.Context, s *scene, track, who string) {
			s.must(ctx, who, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", fmt.Sprintf(
				`{"metadata":{"name":"things.%s.example.com"},"spec":{"group":"%s.example.com","scope":"Namespaced","names":{"plural":"things","singular":"thing","kind":"Thing"},
				"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`, track, track))
		}},
		{what: "create", do: func(ctx context.Context, s *scene, track, who string) {
			uid := uidOf(s.must(ctx, who, "POST", things(track), fmt.Sprintf(`{"apiVersion":"%s.example.com/v1","kind":"Thing","metadata":{"name":"%s-web"}}`, track, track)))
			for n := range 2 {
				s.owned(ctx, who, track, n, track+".example.com/v1", "Thing", track+"-web", uid)
			}
		}},
		{what: "delete", do: func(ctx context.Context, s *scene, track, who string) {
			s.must(ctx, who, "DELETE", things(track)+"/"+track+"-web", "")
		}},
		{what: "undefine", do: func(ctx context.Context, s *scene, track, who string) {
			s.must(ctx, who, "DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things."+track+".example.com", "")
		}},
	}
}

// afterTheMinute waits until what a schedule of every minute made is over, and what it
// makes next is far.
func afterTheMinute() {
	for time.Now().Second() < 20 || time.Now().Second() > 45 {
		time.Sleep(200 * time.Millisecond)
	}
}
