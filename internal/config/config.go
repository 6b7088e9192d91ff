// Package config is what kubetrail serve can be told: a Config, the file of YAML that
// one is read from, and what is wrong with either. It reads no files itself.
package config

import (
	"path/filepath"
	"slices"
)

// APIVersion and Kind begin every configuration file.
const (
	APIVersion = "kubetrail.io/v1alpha1"
	Kind       = "Config"
)

// Config is everything that serve does. Flags fill one as a file does, and nothing else
// is asked while serve is put together. The zero value of a field is "not given"; what
// that means is in [Fields].
type Config struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`

	Data     string `yaml:"data"`
	ReadOnly bool   `yaml:"readOnly"`
	Listen   string `yaml:"listen"`

	TLS          TLS           `yaml:"tls"`
	Tokens       []Token       `yaml:"tokens"`
	Certificates []Certificate `yaml:"certificates"`
	Clusters     []Cluster     `yaml:"clusters"`
	Retention    Retention     `yaml:"retention"`
	Limits       Limits        `yaml:"limits"`
	Log          Log           `yaml:"log"`
}

// TLS names the files that TLS takes, PEM all of them.
type TLS struct {
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	ClientCA string `yaml:"clientCA"`
}

// Token is a bearer token, and what who shows it may do.
type Token struct {
	Name     string   `yaml:"name"`
	File     string   `yaml:"file"`
	Roles    []Role   `yaml:"roles"`
	Clusters []string `yaml:"clusters"` // empty: all
}

// Certificate are the client certificates with a subject, and what who shows one may
// do. An empty part of the subject is not looked at.
type Certificate struct {
	Name         string   `yaml:"name"`
	CommonName   string   `yaml:"commonName"`
	Organization string   `yaml:"organization"`
	Roles        []Role   `yaml:"roles"`
	Clusters     []string `yaml:"clusters"` // empty: all
}

// Role is one kind of access.
type Role string

// The roles. Nobody has one that was not given.
const (
	Read    Role = "read"    // questions, the page and metrics
	Webhook Role = "webhook" // posts to /webhook/CLUSTER
	Agent   Role = "agent"   // appends of kubetrail agent
	Metrics Role = "metrics" // /metrics alone
)

// Roles are all of them.
func Roles() []Role { return []Role{Read, Webhook, Agent, Metrics} }

// Cluster is where events come from. An empty name is that of a cluster that has none.
type Cluster struct {
	Name    string   `yaml:"name"`
	Sources []Source `yaml:"sources"`
	Scrape  []Scrape `yaml:"scrape"`
}

// Source is a log that is followed.
type Source struct {
	Path   string     `yaml:"path"`
	Server string     `yaml:"server"` // name of the API server that writes it
	Kind   SourceKind `yaml:"kind"`
}

// SourceKind tells what a log holds.
type SourceKind string

// The kinds of logs.
const (
	AuditLog     SourceKind = "audit"         // audit events, as --audit-log-path receives them
	APIServerLog SourceKind = "apiserver-log" // standard error of kube-apiserver, as it is or in CRI format
)

// SourceKinds are all of them.
func SourceKinds() []SourceKind { return []SourceKind{AuditLog, APIServerLog} }

// Scrape is the /metrics of an API server.
type Scrape struct {
	Server    string `yaml:"server"`
	URL       string `yaml:"url"`
	TokenFile string `yaml:"tokenFile"`
	CAFile    string `yaml:"caFile"`
}

// Retention says what is removed from the trail.
type Retention struct {
	Keep      Duration `yaml:"keep"`
	KeepBytes Size     `yaml:"keepBytes"`
}

// Limits bound what serve takes.
type Limits struct {
	SpoolBytes Size `yaml:"spoolBytes"`
	PartBytes  Size `yaml:"partBytes"`
	Memory     Size `yaml:"memory"`
	BodyBytes  Size `yaml:"bodyBytes"`
}

// Log says how serve logs.
type Log struct {
	Format string `yaml:"format"` // text or json
	Level  string `yaml:"level"`  // debug, info, warn or error
}

// Defaults is what serve does when it is told nothing but where the trail lies.
func Defaults(data string) Config {
	return Config{
		APIVersion: APIVersion, Kind: Kind, Data: data, Listen: "127.0.0.1:8417",
		Limits: Limits{SpoolBytes: 1 << 30, PartBytes: usualPart, BodyBytes: 64 << 20},
		Log:    Log{Format: "text", Level: "info"},
	}
}

// Of a part as serve writes it three are in memory: one that fills, one that is written,
// one that is merged. Memory is the soft limit for that.
const (
	usualPart   Size = 64 << 20
	usualMemory Size = 208 << 20
)

// complete gives the defaults that follow from something else, and those of what lists
// hold.
func (c *Config) complete() {
	if c.Limits.Memory == 0 && c.Limits.PartBytes <= MaxPart {
		c.Limits.Memory = max(usualMemory, usualMemory/usualPart*c.Limits.PartBytes)
	}
	for i := range c.Clusters {
		for j := range c.Clusters[i].Sources {
			if s := &c.Clusters[i].Sources[j]; s.Kind == "" {
				s.Kind = AuditLog
			}
		}
	}
}

// Resolve makes every path of a file one that begins in dir, the directory of the
// configuration file, unless it is absolute.
func (c *Config) Resolve(dir string) {
	for _, p := range c.paths() {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// paths are the fields that name files.
func (c *Config) paths() []*string {
	all := []*string{&c.Data, &c.TLS.Cert, &c.TLS.Key, &c.TLS.ClientCA}
	for i := range c.Tokens {
		all = append(all, &c.Tokens[i].File)
	}
	for i := range c.Clusters {
		cluster := &c.Clusters[i]
		for j := range cluster.Sources {
			all = append(all, &cluster.Sources[j].Path)
		}
		for j := range cluster.Scrape {
			all = append(all, &cluster.Scrape[j].TokenFile, &cluster.Scrape[j].CAFile)
		}
	}
	return all
}

// Add adds a log of a cluster.
func (c *Config) Add(cluster string, s Source) {
	x := c.cluster(cluster)
	x.Sources = append(x.Sources, s)
}

// AddScrape adds the metrics of an API server of a cluster.
func (c *Config) AddScrape(cluster string, s Scrape) {
	x := c.cluster(cluster)
	x.Scrape = append(x.Scrape, s)
}

// cluster returns the cluster of that name, a new one where there is none.
func (c *Config) cluster(name string) *Cluster {
	i := slices.IndexFunc(c.Clusters, func(x Cluster) bool { return x.Name == name })
	if i < 0 {
		i = len(c.Clusters)
		c.Clusters = append(c.Clusters, Cluster{Name: name})
	}
	return &c.Clusters[i]
}
