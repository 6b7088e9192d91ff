// Package evidence words what an answer rests on, in English and in Chinese.
package evidence

import (
	"encoding/json"
	"strconv"
	"strings"

	"kubetrail/internal/output"
)

// Fact is one piece of evidence, or one reason, with what it is about.
type Fact struct {
	Kind   string   `json:"kind"`
	Values []string `json:"values,omitempty"`
}

// Of makes a fact of a kind that [Fact.Words] knows.
func Of(kind string, values ...string) Fact { return Fact{kind, values} }

// phrases are the words of each kind of fact: English, then Chinese. %1 to %3 stand for
// its values.
var phrases = map[string][2]string{
	"ownerUID":       {"the owner reference names %1 with the same uid", "ownerReferences 指向 %1，uid 相同"},
	"ownerReference": {"the owner reference names %1", "ownerReferences 指向 %1"},
	"name":           {"the name is that of %1 plus a suffix", "名称为 %1 的名称加后缀"},
	"sameName":       {"the name is that of %1", "名称与 %1 相同"},
	"sameUID":        {"it is the same object, with the same uid", "是同一个对象，uid 相同"},
	"sameObject":     {"it is the same object", "是同一个对象"},
	"generation":     {"generation %1 was observed", "已观察到 generation %1"},
	"template":       {"its pod template is that of %1 after this request", "Pod 模板与该请求之后的 %1 相同"},
	"desired":        {"it was told of %1 desired replicas, which this request set", "期望副本数为 %1，由该请求设定"},
	"revision":       {"the rollout goes on to this pod template", "滚动更新仍在向该 Pod 模板推进"},
	"missing":        {"%1 has been short of pods since", "此后 %1 的 Pod 数少于期望副本数"},
	"surplus":        {"%1 has had too many pods since", "此后 %1 的 Pod 数多于期望副本数"},
	"after":          {"%1 s after", "%1 秒之后"},
	"only":           {"nothing else that could have caused it is recorded", "没有其他可能引起它的请求记录"},
	"policy":         {"propagationPolicy=%1", "propagationPolicy=%1"},
	"finalizer":      {"finalizer %1", "finalizer %1"},
	"listed":         {"the answer lists it among what was removed", "应答列出了被删除的该对象"},
	"collection":     {"it is in the namespace that the collection was deleted in", "位于批量删除所在的命名空间"},
	"selector":       {"the deletion had a selector, which may not have matched it", "批量删除带有选择器，未必选中该对象"},
	"namespace":      {"the namespace was terminating", "命名空间正在终止"},
	"namespaceNew":   {"every new namespace gets one", "每个新命名空间都会得到一个"},
	"about":          {"it is about what %1 had just done", "记录 %1 刚刚执行的操作"},
	"node":           {"the pod was on node %1", "Pod 位于节点 %1"},
	"writtenBy":      {"the owner reference was written by %1", "ownerReferences 由 %1 写入"},
	"grace":          {"the pod was terminating: its grace period was over", "Pod 正在终止，宽限期已结束"},
	"sameGroup":      {"it is of the group %1, which this request defined", "属于该请求所定义的组 %1"},
	"noChange":       {"the request changed nothing", "该请求没有修改任何对象"},
	"sinceStatus":    {"it happened since the status was written before", "发生在上一次写入 status 之后"},
	"credential":     {"it was sent with the token that this request asked for", "使用了该请求签发的令牌"},
	"within":         {"it happened while that request was answered", "发生在该请求处理期间"},
	"near":           {"it is in the same namespace", "位于同一命名空间"},
	"schedule":       {"of its own accord: its schedule", "自行触发：按计划执行"},
	"metrics":        {"of its own accord: metrics and its own bounds", "自行触发：依据指标与自身上下限"},
	"state":          {"of its own accord: the state of the cluster", "自行触发：依据集群状态"},
	"nodeState":      {"of its own accord: the node reports what it sees", "自行触发：节点上报自身状态"},
	"expired":        {"of its own accord: time ran out", "自行触发：到期"},
	"noParent":       {"the log does not tell what it belongs to", "日志未显示其所属对象"},
	"noTrigger":      {"no request is recorded that could have caused it", "没有可能引起它的请求记录"},
	"noDeletion":     {"no deletion of %1 is recorded", "没有 %1 的删除记录"},
	"competing":      {"several requests could have caused it, and the evidence does not decide", "多个请求都可能引起它，证据不足以判定"},
	"foreignOwner":   {"%1 wrote its owner reference, and somebody else deleted the owner", "ownerReferences 由 %1 写入，而属主由他人删除"},
	"loop":           {"what could have caused it leads back to it", "可能的原因又回到它自身"},
	"borrowed":       {"the account of a controller was used by another program", "控制器的账号被其他程序使用"},
	"created":        {"created %1", "创建了 %1"},
	"deleted":        {"deleted %1", "删除了 %1"},
	"deletedAll":     {"deleted all %1", "批量删除了 %1"},
	"deletedAllIn":   {"deleted all %1 in %2", "批量删除了 %2 中的 %1"},
	"scaled":         {"scaled %1", "调整了 %1 的副本数"},
	"scaledTo":       {"scaled %1 to %2", "将 %1 的副本数调整为 %2"},
	"changed":        {"changed %1", "修改了 %1"},
	"changedSub":     {"changed %2 of %1", "修改了 %1 的 %2"},
	"deletedSome":    {"deleted %1 in %2 by a selector", "按选择器批量删除了 %2 中的 %1"},
	"evicted":        {"evicted %1", "驱逐了 %1"},
	"bound":          {"bound %1 to a node", "将 %1 绑定到节点"},
	"boundTo":        {"bound %1 to node %2", "将 %1 绑定到节点 %2"},
	"cordoned":       {"cordoned %1", "将 %1 设为不可调度"},
	"createdSub":     {"made a request to %2 of %1", "请求了 %1 的 %2"},
}

// Words says a fact in words. Names in it are made safe to print.
func (f Fact) Words(chinese bool) string {
	text := phrases[f.Kind][0]
	if chinese {
		text = phrases[f.Kind][1]
	}
	pairs := make([]string, 0, 2*len(f.Values))
	for i, v := range f.Values {
		pairs = append(pairs, "%"+strconv.Itoa(i+1), output.Plain(v, false))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// MarshalJSON adds the English words.
func (f Fact) MarshalJSON() ([]byte, error) {
	type plain Fact
	return json.Marshal(struct {
		plain
		Text string `json:"text"`
	}{plain(f), f.Words(false)})
}
