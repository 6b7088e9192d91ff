// Judge tells what kube-apiserver of one release says about audit policies: it reads
// lines {"input"} and answers each with a line {"accepted","error","warnings","policy"}.
//
// It is built once for each release, with the module file of that release, so that all
// that takes part (YAML, JSON, klog) is what that release was built with. For that it
// knows nothing of KubeTrail:
//
//	go build -modfile=v1.36.mod -o judge . && echo '{"input":""}' | ./judge
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"

	"k8s.io/apimachinery/pkg/runtime"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/klog/v2"
)

type question struct {
	Input  string `json:"input"`
	Base64 bool   `json:"base64"` // Input is no UTF-8 and is encoded so
}

type answer struct {
	Accepted bool            `json:"accepted"`
	Error    string          `json:"error,omitempty"`
	Warnings []string        `json:"warnings"`
	Policy   json.RawMessage `json:"policy,omitempty"`
	Panic    string          `json:"panic,omitempty"`
}

// header is what klog writes before a message.
var header = regexp.MustCompile(`(?m)^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [^\]\n]+:\d+\] `)

func main() {
	flags := flag.NewFlagSet("klog", flag.ExitOnError)
	klog.InitFlags(flags)
	var log bytes.Buffer
	for name, value := range map[string]string{"logtostderr": "false", "alsologtostderr": "false", "stderrthreshold": "FATAL", "one_output": "true"} {
		if err := flags.Set(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	klog.SetOutput(&log)

	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for dec.More() {
		var q question
		if err := dec.Decode(&q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		data := []byte(q.Input)
		if q.Base64 {
			data, _ = base64.StdEncoding.DecodeString(q.Input)
		}
		log.Reset()
		a := judge(data)
		klog.Flush()
		a.Warnings = warnings(log.String())
		if err := enc.Encode(a); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func judge(data []byte) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			a = answer{Panic: fmt.Sprint(r)}
		}
	}()
	p, err := policy.LoadPolicyFromBytes(data)
	if err != nil {
		return answer{Error: err.Error()}
	}
	text, err := encode(p)
	if err != nil {
		return answer{Panic: err.Error()}
	}
	return answer{Accepted: true, Policy: text}
}

// encode writes p as audit.k8s.io/v1.
func encode(p *auditinternal.Policy) (json.RawMessage, error) {
	return runtime.Encode(audit.Codecs.LegacyCodec(auditv1.SchemeGroupVersion), p)
}

// warnings are the messages in what klog wrote.
func warnings(log string) []string {
	texts := []string{}
	at := header.FindAllStringIndex(log, -1)
	for i, h := range at {
		end := len(log)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		texts = append(texts, string(bytes.TrimSuffix([]byte(log[h[1]:end]), []byte("\n"))))
	}
	return texts
}
