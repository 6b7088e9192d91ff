package lint

import (
	"slices"

	"kubetrail/policy"
)

// What holds secrets.
func secrets() target      { return target{"", "secrets", ""} }
func configMaps() target   { return target{"", "configmaps", ""} }
func tokens() target       { return target{"", "serviceaccounts", "token"} }
func tokenReviews() target { return target{"authentication.k8s.io", "tokenreviews", ""} }

// leaks finds rules that write secrets into the log.
func (l *linter) leaks() {
	for i, r := range l.policy.Rules {
		if r.Level.Less(policy.LevelRequest) {
			continue
		}
		l.secretBodies(i, r)
		if q, ok := l.asks(i, bodies(r.Level, configMaps()), configMaps(), false); ok {
			f := l.report("configmap-bodies", say("the contents of configmaps are written to the log, at level %s", "configmaps 的内容会以级别 %s 写入日志", r.Level), "rules", i, "level")
			if l.itself(i, configMaps()) || !ordinary(q) || len(r.Namespaces) > 0 {
				f.Severity = Info // it seems to be on purpose
			}
			f.Fix = l.recordAt(i, policy.LevelMetadata, configMaps())
		}
	}
	l.execCommand()
}

// bodies lists the verbs whose requests for t carry its secret at that level: at
// Request only what the client sends.
func bodies(level policy.Level, t target) []string {
	switch {
	case t == tokens() || t == tokenReviews():
		return []string{"create"} // nothing else can be done with them
	case level == policy.LevelRequest:
		return []string{"create", "update", "patch"}
	}
	// A delete answers with the object only where a finalizer holds it back.
	return []string{"get", "list", "create", "update", "patch", "deletecollection"}
}

func (l *linter) secretBodies(i int, r policy.PolicyRule) {
	var leaking []target
	anybody := false
	for _, t := range []target{secrets(), tokens(), tokenReviews()} {
		if q, ok := l.asks(i, bodies(r.Level, t), t, t == tokenReviews()); ok {
			leaking = append(leaking, t)
			anybody = anybody || ordinary(q)
		}
	}
	if len(leaking) == 0 {
		return
	}
	f := l.report("secret-bodies", say("%s: their contents are written to the log in clear, at level %s", "%s：其内容会以明文写入日志（级别 %s）", names(leaking), r.Level), "rules", i, "level")
	switch {
	case slices.Equal(leaking, []target{tokens()}) && r.Level == policy.LevelRequest:
		f.Severity = Info
		f.Message = say("serviceaccounts/token is recorded with bodies: no token yet at level Request, but at RequestResponse", "serviceaccounts/token 连同请求体一起记录：Request 级别尚无令牌，但 RequestResponse 级别会有")
	case !anybody:
		f.Severity = Warning
	}
	f.Fix = l.recordAt(i, policy.LevelMetadata, leaking...)
}

// execCommand says where the commands of exec end up.
func (l *linter) execCommand() {
	q := request("create", target{"", "pods", "exec"})
	if d := l.matcher.Match(&q); d.Level != policy.LevelNone {
		l.report("exec-command", say("what people run with kubectl exec is in requestURI, with any password typed there, at level %s as at any other", "kubectl exec 执行的命令会出现在 requestURI 中，包括其中输入的密码；级别 %s 和其他级别都一样", d.Level), "rules", d.Rule, "level")
	}
}
