package audit

// samples are lines as kube-apiserver writes them, byte for byte, one for each thing
// that makes a difference.
var samples = map[string]string{
	"zero": `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"","auditID":"","stage":"","requestURI":"","verb":"","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null}`,

	"metadata": `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"afbd22bb-6d01-439c-9896-c33d989abc45","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods?limit=500\u0026watch=0","verb":"list","user":{"username":"jai","groups":["dev-team","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=90"]}},"sourceIPs":["10.0.0.7","127.0.0.1"],"userAgent":"kubectl/v1.36.3 (linux/amd64)","objectRef":{"resource":"pods","namespace":"shop","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-20T15:22:00.656097Z","stageTimestamp":"2026-11-20T15:22:00.660000Z","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: allowed by RoleBinding \"dev-edit/shop\""}}`,

	"item": `{"level":"Request","auditID":"1","stage":"RequestReceived","requestURI":"/readyz","verb":"get","user":{"username":"system:anonymous","groups":["system:unauthenticated"]},"requestReceivedTimestamp":"2026-11-20T15:35:25.953413Z","stageTimestamp":"2026-11-20T15:35:25.953413Z"}`,

	"bodies": `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"2","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/shop/deployments/web/scale","verb":"patch","user":{"username":"王芳","uid":"u-1"},"impersonatedUser":{"username":"bob","uid":"7","groups":["ops"],"extra":{"scopes":["a","b"]}},"authenticationMetadata":{"impersonationConstraint":"impersonate:user-info"},"userAgent":"a\u003cb\u003e\u0026\"\\\b\f\n\r\t\u0001\u2028\u2029\ufffd` + "\x7f" + `","objectRef":{"resource":"deployments","namespace":"shop","name":"web","uid":"9d","apiGroup":"apps","apiVersion":"v1","resourceVersion":"12","subresource":"scale"},"responseStatus":{"metadata":{},"status":"Failure","message":"no \u003csuch\u003e thing","reason":"NotFound","details":{"name":"web","causes":[{"reason":"x"}]},"code":404},"requestObject":[{"op":"replace","path":"/spec/replicas","value":-1.5e+3},{},[],null,true,false,"\u0041\\\""],"responseObject":{"a":{"b":{"c":[[[]],{"d":{}}]}},"long":"` + "é, 0123456789abcdef 0123456789abcdef" + `"},"requestReceivedTimestamp":"1969-12-31T23:59:59.999999Z","stageTimestamp":"2024-02-29T00:00:00.000001Z","annotations":{"apiserver.latency.k8s.io/total":"1.5s","authorization.k8s.io/decision":"forbid","authorization.k8s.io/explain":"x","authorization.k8s.io/reason":"","k8s.io/deprecated":"true"}}`,

	"annotations without decision": `{"level":"Metadata","auditID":"3","stage":"ResponseStarted","requestURI":"/api","verb":"get","user":{},"responseStatus":{"metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401},"requestReceivedTimestamp":"0000-01-01T00:00:00.000000Z","stageTimestamp":"9999-12-31T23:59:59.999999Z","annotations":{"authentication.k8s.io/stale-token":"subject: x"}}`,

	"null body": `{"level":"Request","auditID":"4","stage":"ResponseComplete","requestURI":"/api","verb":"patch","user":{},"objectRef":{"name":"x"},"responseStatus":{"metadata":{},"code":-1},"requestObject":null,"requestReceivedTimestamp":null,"stageTimestamp":"2026-11-20T15:35:25.953413Z"}`,

	"unknown members last": `{"level":"Request","auditID":"5","stage":"Panic","requestURI":"/api","verb":"get","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null,"cluster":"eu-1","zone":{"a": [1]}}`,

	"v1beta1": `{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1","metadata":{"creationTimestamp":"2018-10-25T13:58:49Z"},"level":"Request","timestamp":"2018-10-25T13:58:48Z","auditID":"841d","stage":"ResponseComplete","requestURI":"/api/v1/namespaces","verb":"create","user":{"username":"system:anonymous","groups":["system:masters"]},"sourceIPs":["192.168.99.1"],"objectRef":{"resource":"namespaces","name":"foo","apiGroup":"apps","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"requestObject":{"kind":"Namespace"},"requestReceivedTimestamp":"2018-10-25T13:58:48.730588Z","stageTimestamp":"2018-10-25T13:58:49.736141Z","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}`,

	"v1alpha1": `{"kind":"Event","apiVersion":"audit.k8s.io/v1alpha1","metadata":{"creationTimestamp":null},"level":"Metadata","timestamp":"2017-07-12T11:02:43Z","auditID":"2e79","stage":"RequestReceived","requestURI":"/apis/apps/v1/deployments","verb":"list","user":{"username":"kubecfg"},"objectRef":{"resource":"deployments","apiVersion":"apps/v1"},"requestReceivedTimestamp":"2017-07-12T11:02:43.000000Z","stageTimestamp":null}`,

	"legacy": `2026-11-20T15:34:44.696864233Z AUDIT: id="dd26bb64" stage="ResponseComplete" ip="127.0.0.1" method="get" user="system:apiserver" groups="\"system:authenticated\",\"system:masters\"" as="<self>" asgroups="<lookup>" user-agent="kube-apiserver/v1.36.3 (linux/amd64) kubernetes/$Format" namespace="<none>" uri="/openapi/v3?a=1&b=2" response="200"`,

	"legacy quoted": `2026-11-20T15:34:44.1Z AUDIT: id="a\"b\\\\c" stage="Panic" ip="::1" method="get" user="\x00\u2028王" groups="\"a\\\"b\",\"c,d\",\"<\\\\>\",\"\\n\"" as="<self>" asgroups="<lookup>" user-agent="\xff" namespace="n" uri="/" response="500"`,

	"legacy absent": `2026-11-20T15:34:44Z AUDIT: id="" stage="RequestReceived" ip="<unknown>" method="" user="<none>" groups="<none>" as="bob" asgroups="\"ops\"" user-agent="" namespace="shop" uri="" response="<deferred>"`,
}
