package audit

import "strconv"

// Type is the type of a field's values.
type Type uint8

const (
	Keyword Type = iota // one string, compared whole and case-sensitively
	Prose               // one string for people: a message or a reason
	Number
	Time
	List   // strings; a test holds where any element passes
	Map    // the field name goes on with a key: annotations.k8s.io/deprecated
	Object // a JSON tree; the field name goes on with a path: requestObject.spec.replicas
)

// String returns the name that people see; Prose is what Kibana calls text.
func (t Type) String() string {
	switch t {
	case Keyword:
		return "keyword"
	case Prose:
		return "text"
	case Number:
		return "number"
	case Time:
		return "time"
	case List:
		return "list"
	case Map:
		return "map"
	}
	return "object"
}

// Field is one entry of the dictionary of fields: everything that names a field of
// an event (queries, output, grouping, the API, the documentation) asks it.
type Field struct {
	Path  string  // the JSON path of audit.k8s.io/v1, "objectRef.namespace", or a name of ours
	Alias string  // the everyday short name, "ns"; empty where there is none
	Type  Type    // of its values
	Needs Columns // the columns that hold it
	Doc   string  // one line in English
	DocZH string  // one line in Chinese

	at Column // where its values are: a column, or one of the made-up columns below
}

// Made-up columns: fields computed from others.
const (
	atTime     Column = NumColumns + iota // Event.Time
	atDuration                            // Staged - Received
	atCommand                             // the words of a command in RequestURI
	atRelative                            // no event at all: a path inside some JSON object
)

// Fields returns the dictionary in the order of the JSON members.
func Fields() []Field {
	fields := make([]Field, 0, 48)
	fields = appendRequestFields(fields)
	fields = appendUserFields(fields)
	fields = appendObjectFields(fields)
	fields = appendResponseFields(fields)
	return appendOwnFields(fields)
}

// in makes the entry of a field that is one column.
func in(at Column, t Type, path, alias, doc, zh string) Field {
	return Field{Path: path, Alias: alias, Type: t, Needs: Set(at), Doc: doc, DocZH: zh, at: at}
}

func appendRequestFields(fs []Field) []Field {
	return append(fs,
		in(Level, Keyword, "level", "level",
			"how much was recorded: Metadata, Request or RequestResponse",
			"记录级别:Metadata、Request 或 RequestResponse"),
		in(AuditID, Keyword, "auditID", "id",
			"the id of the request; the client may choose it, so it need not be unique",
			"请求的标识;可由客户端指定,因此不保证唯一"),
		in(Stage, Keyword, "stage", "stage",
			"RequestReceived, ResponseStarted, ResponseComplete or Panic",
			"阶段:RequestReceived、ResponseStarted、ResponseComplete 或 Panic"),
		in(RequestURI, Keyword, "requestURI", "uri",
			"path and query of the request, percent-encoded as it was sent",
			"请求的路径与查询串,保持发送时的百分号编码"),
		in(Verb, Keyword, "verb", "verb",
			"get, list, watch, create, update, patch, delete, deletecollection, or an HTTP method in lower case",
			"动词:get、list、watch、create、update、patch、delete、deletecollection,或小写的 HTTP 方法"),
	)
}

func appendUserFields(fs []Field) []Field {
	return append(fs,
		in(Username, Keyword, "user.username", "user",
			"who sent the request, as authenticated",
			"发出请求的用户(认证结果)"),
		in(UserUID, Keyword, "user.uid", "",
			"the uid of that user", "该用户的 uid"),
		in(UserGroups, List, "user.groups", "group",
			"the groups of that user (for the API group see objectRef.apiGroup)",
			"该用户所属的组(API 组见 objectRef.apiGroup)"),
		in(UserExtra, Map, "user.extra", "extra",
			"what else the authenticator knew, by key: user.extra.authentication.kubernetes.io/pod-name",
			"认证器附带的其他信息,按键取值:user.extra.authentication.kubernetes.io/pod-name"),
		in(ImpersonatedUsername, Keyword, "impersonatedUser.username", "as",
			"on whose behalf the request was sent (kubectl --as)",
			"被扮演的用户(kubectl --as)"),
		in(ImpersonatedUID, Keyword, "impersonatedUser.uid", "",
			"the uid of the impersonated user", "被扮演用户的 uid"),
		in(ImpersonatedGroups, List, "impersonatedUser.groups", "asgroup",
			"the groups of the impersonated user", "被扮演用户所属的组"),
		in(ImpersonatedExtra, Map, "impersonatedUser.extra", "",
			"what else was impersonated, by key", "被扮演用户的其他信息,按键取值"),
		in(AuthenticationMetadata, Object, "authenticationMetadata", "",
			"how the impersonation was constrained (since 1.35)",
			"受约束扮演的信息(1.35 起)"),
		in(SourceIPs, List, "sourceIPs", "ip",
			"the addresses the request came through; only the last one is sure. 10.0.0.0/8 is understood",
			"请求经过的地址,只有最后一个可信;可写网段 10.0.0.0/8"),
		in(UserAgent, Keyword, "userAgent", "agent",
			"the client program, as it names itself", "客户端程序自报的名称"),
	)
}

func appendObjectFields(fs []Field) []Field {
	return append(fs,
		in(Resource, Keyword, "objectRef.resource", "resource",
			"the resource in plural: pods, secrets", "资源(复数):pods、secrets"),
		in(Namespace, Keyword, "objectRef.namespace", "ns",
			"the namespace of the object; absent for cluster-wide requests",
			"对象所在的命名空间;集群级请求没有此项"),
		in(Name, Keyword, "objectRef.name", "name",
			"the name of the object; absent for lists and generateName",
			"对象名称;列表请求与 generateName 没有此项"),
		in(ObjectUID, Keyword, "objectRef.uid", "uid",
			"the uid of the object", "对象的 uid"),
		in(APIGroup, Keyword, "objectRef.apiGroup", "apigroup",
			"the API group: apps; absent for the core group", "API 组:apps;核心组没有此项"),
		in(APIVersion, Keyword, "objectRef.apiVersion", "version",
			"the version of the API: v1", "API 版本:v1"),
		in(ResourceVersion, Keyword, "objectRef.resourceVersion", "",
			"the resourceVersion the client sent", "客户端发送的 resourceVersion"),
		in(Subresource, Keyword, "objectRef.subresource", "sub",
			"the subresource: exec, log, status, scale", "子资源:exec、log、status、scale"),
	)
}

func appendResponseFields(fs []Field) []Field {
	return append(fs,
		in(Status, Keyword, "responseStatus.status", "status",
			"Success or Failure, where the answer was a Status", "Success 或 Failure(应答为 Status 时)"),
		in(Message, Prose, "responseStatus.message", "message",
			"the message of the answer, for people", "应答中给人看的消息"),
		in(StatusReason, Keyword, "responseStatus.reason", "statusreason",
			"why it failed, in one word: Forbidden, NotFound", "失败原因(一个词):Forbidden、NotFound"),
		in(StatusDetails, Object, "responseStatus.details", "details",
			"details of a failure", "失败的细节"),
		in(Code, Number, "responseStatus.code", "code",
			"the HTTP status code", "HTTP 状态码"),
		in(RequestObject, Object, "requestObject", "request",
			"the body of the request, by path: requestObject.spec.replicas",
			"请求体,按路径取值:requestObject.spec.replicas"),
		in(ResponseObject, Object, "responseObject", "response",
			"the body of the answer, by path: responseObject.metadata.name",
			"应答体,按路径取值:responseObject.metadata.name"),
		in(Received, Time, "requestReceivedTimestamp", "received",
			"when the request arrived", "请求到达的时间"),
		in(Staged, Time, "stageTimestamp", "staged",
			"when this stage was reached", "到达该阶段的时间"),
		Field{Path: "annotations", Type: Map, Needs: Set(Annotations, Decision, Reason), at: Annotations,
			Doc:   "what the plugins of the apiserver noted, by key: annotations.k8s.io/deprecated",
			DocZH: "apiserver 各插件的注解,按键取值:annotations.k8s.io/deprecated"},
		in(Decision, Keyword, "annotations."+decisionName, "decision",
			"allow or forbid", "授权结论:allow 或 forbid"),
		in(Reason, Prose, "annotations."+reasonName, "reason",
			"why the authorizer decided so (for Forbidden, NotFound see responseStatus.reason)",
			"授权理由(Forbidden、NotFound 见 responseStatus.reason)"),
	)
}

func appendOwnFields(fs []Field) []Field {
	return append(fs,
		in(Other, Object, "other", "",
			"members of the event that no version of the API knows", "任何 API 版本都没有定义的成员"),
		in(Cluster, Keyword, "cluster", "",
			"the cluster the event was observed in", "观察到该事件的集群"),
		in(Server, Keyword, "server", "",
			"the API server that observed the event, where that is known",
			"观察到该事件的 API server(已知时)"),
		in(Source, Keyword, "source", "",
			"the file, spool or stream the event came from", "事件来自的文件、缓冲或流"),
		in(Destination, List, "destination", "to",
			"where the request went on to: node/NAME, service/NAMESPACE/NAME, pod/NAMESPACE/NAME, apiservice/NAME, webhook/CONFIGURATION/NAME",
			"请求被转发到何处:node/名称、service/命名空间/名称、pod/命名空间/名称、apiservice/名称、webhook/配置/名称"),
		in(Marks, List, "is", "",
			"repeat: the same bytes were received before; recovered: lost by the API server and read from its own log",
			"repeat:相同的字节此前已收到;recovered:API server 丢失、由其自身日志补回"),
		in(Offset, Number, "offset", "",
			"the byte offset of its line in the source", "该行在来源中的字节偏移"),
		in(Seq, Number, "seq", "",
			"its sequence number in the trail", "在审计链中的序号"),
		Field{Path: "time", Type: Time, Needs: Set(Staged, Received), at: atTime,
			Doc:   "when it happened: stageTimestamp, else requestReceivedTimestamp",
			DocZH: "发生时间:stageTimestamp,缺失时取 requestReceivedTimestamp"},
		Field{Path: "duration", Type: Number, Needs: Set(Staged, Received), at: atDuration,
			Doc:   "milliseconds from requestReceivedTimestamp to stageTimestamp",
			DocZH: "从 requestReceivedTimestamp 到 stageTimestamp 的毫秒数"},
		Field{Path: "command", Type: Keyword, Needs: Set(RequestURI), at: atCommand,
			Doc:   "the command of exec and attach, its words joined by blanks",
			DocZH: "exec 与 attach 的命令,各词以空格连接"},
	)
}

// Ref is a field with the key or path below it, as a query names it.
type Ref struct {
	Field Field
	Sub   []string // path elements below a Map or Object; one key for a Map
	Name  string   // as it was asked for

	// glob: Sub is one pattern in which * stands for any characters, held against
	// the whole dotted path of every scalar below the field.
	glob bool
}

// ValueKind tells how to read a Value.
type ValueKind uint8

const (
	StringValue ValueKind = iota // Bytes is the decoded string
	NumberValue                  // Bytes is the number as JSON writes it
	TimeValue                    // Int is microseconds since the epoch
	BoolValue                    // Bytes is "true" or "false"
	JSONValue                    // Bytes is an object, an array or null, as written
)

// Value is one value of a field.
type Value struct {
	Kind  ValueKind
	Bytes []byte
	Int   int64 // NumberValue: the number where it is an integer that fits
}

// Column returns the text column whose decoded string is the only value of r, so
// that the codes of a dictionary of that column stand for the values. ok is false
// for every field of another make.
func (r Ref) Column() (c Column, ok bool) {
	f := &r.Field
	if (f.Type == Keyword || f.Type == Prose) && f.at < NumText {
		return f.at, true
	}
	return 0, false
}

// Needs returns the columns that hold the values of r.
func (r Ref) Needs() Columns {
	if r.Field.at != Annotations || len(r.Sub) == 0 {
		return r.Field.Needs
	}
	need := Set(Annotations)
	if r.glob && Glob(r.Sub[0], decisionName) {
		need |= Set(Decision)
	}
	if r.glob && Glob(r.Sub[0], reasonName) {
		need |= Set(Reason)
	}
	return need
}

// Each calls yield for every value that r names in e, elements of lists one by one,
// until yield returns false. A field that is absent has no value; a Map without a
// key has the values of all its keys. The bytes of a Value are valid until e is
// scanned into again.
func (r Ref) Each(e *Event, yield func(Value) bool) {
	r.Any(e, func(v Value) bool { return !yield(v) })
}

// Any reports whether some value of r in e passes the test. It does not allocate
// unless a string has escapes or a number must be written out.
func (r Ref) Any(e *Event, test func(Value) bool) bool {
	at := r.Field.at
	switch r.Field.Type {
	case Keyword, Prose:
		b := []byte(nil)
		if at == atCommand {
			b = command(e.Text[RequestURI])
		} else {
			b = e.Text[at]
		}
		return len(b) > 0 && test(Value{Kind: StringValue, Bytes: b})
	case Number, Time:
		return r.anyNumber(e, test)
	case Map:
		if at == Annotations && r.anyDecision(e, test) {
			return true
		}
	}
	return r.AnyIn(r.Field.json(e), test)
}

// AnyIn is Any where raw is the JSON of the field itself, or of the object that r,
// made by [Below], is relative to.
func (r Ref) AnyIn(raw []byte, test func(Value) bool) bool {
	if len(raw) == 0 {
		return false
	}
	w := walker{data: raw, test: test}
	if r.glob {
		w.glob = r.Sub[0]
		return w.leaves(0)
	}
	if r.Field.Type == Map && len(r.Sub) == 0 {
		w.glob = "*"
		return w.leaves(0)
	}
	return w.find(r.Sub, 0)
}

// Int returns the integer of a Number or Time field that is a column of its own:
// microseconds for times and also for duration. ok is false where the event has
// none, and for every other field.
func (r Ref) Int(e *Event) (v int64, ok bool) {
	switch r.Field.at {
	case Code:
		return int64(e.Code), e.Code != 0
	case Offset:
		return e.Offset, true
	case Seq:
		return int64(e.Seq), true
	case Staged:
		return e.Staged, e.Staged != NoTime
	case Received:
		return e.Received, e.Received != NoTime
	case atTime:
		return e.Time(), e.Time() != NoTime
	case atDuration:
		return e.Staged - e.Received, e.Staged != NoTime && e.Received != NoTime
	}
	return 0, false
}

func (r Ref) anyNumber(e *Event, test func(Value) bool) bool {
	v, ok := r.Int(e)
	if !ok {
		return false
	}
	if r.Field.Type == Time {
		return test(Value{Kind: TimeValue, Int: v})
	}
	if r.Field.at == atDuration {
		return test(Value{Kind: NumberValue, Bytes: appendMillis(nil, v), Int: v / 1000})
	}
	return test(Value{Kind: NumberValue, Bytes: strconv.AppendInt(nil, v, 10), Int: v})
}

// anyDecision tests the two annotations that have columns of their own, where r
// names all annotations or a pattern.
func (r Ref) anyDecision(e *Event, test func(Value) bool) bool {
	if len(e.Text[Decision]) == 0 || len(r.Sub) > 0 && !r.glob {
		return false
	}
	if !r.glob || Glob(r.Sub[0], decisionName) {
		if test(Value{Kind: StringValue, Bytes: e.Text[Decision]}) {
			return true
		}
	}
	if len(e.Text[Reason]) > 0 && (!r.glob || Glob(r.Sub[0], reasonName)) {
		return test(Value{Kind: StringValue, Bytes: e.Text[Reason]})
	}
	return false
}

// json returns the raw JSON that holds a List, Map or Object.
func (f *Field) json(e *Event) []byte {
	switch f.at {
	case RequestObject:
		return e.RequestObject
	case ResponseObject:
		return e.ResponseObject
	}
	if f.at < NumText {
		return e.Text[f.at]
	}
	return nil
}

// Glob reports whether s matches pattern as a whole, where * in the pattern stands
// for any number of any bytes.
func Glob[T string | []byte](pattern string, s T) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
