package proxy

import (
	"errors"
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
)

// settle fills what is empty from the kubeconfig, if there is one, and reads the URL.
func (u *Upstream) settle(f *Forward) error {
	if u.Kubeconfig != "" {
		if err := u.read(); err != nil {
			return failing(fmt.Errorf("--kubeconfig %s: %w", u.Kubeconfig, err), "name a kubeconfig of the API server, or give --upstream and --upstream-ca-file")
		}
	}
	if u.URL == "" {
		return wrong(errors.New("--upstream is missing"), "for example --upstream https://10.0.0.1:6443 --upstream-ca-file /etc/kubernetes/pki/ca.crt")
	}
	var err error
	if u.url, err = parseURL(u.URL); err != nil {
		return wrong(fmt.Errorf("--upstream %s: %w", u.URL, err), "for example --upstream https://10.0.0.1:6443")
	}
	if u.url.Scheme == "http" && f.CertFile != "" {
		return wrong(errors.New("--proxy-client-cert-file needs an upstream with https"), "for example --upstream https://10.0.0.1:6443")
	}
	return nil
}

// read takes from a kubeconfig where the API server is. Credentials in it are not looked
// at: they are somebody's, and not the proxy's.
func (u *Upstream) read() error {
	if _, err := os.Stat(u.Kubeconfig); err != nil {
		return err
	}
	file, err := clientcmd.LoadFromFile(u.Kubeconfig)
	if err != nil {
		return err
	}
	if err := clientcmd.ResolveLocalPaths(file); err != nil {
		return err
	}
	name := u.Context
	if name == "" {
		name = file.CurrentContext
	}
	at := file.Contexts[name]
	if at == nil {
		return fmt.Errorf("it has no context %q", name)
	}
	cluster := file.Clusters[at.Cluster]
	switch {
	case cluster == nil:
		return fmt.Errorf("it has no cluster %q", at.Cluster)
	case cluster.InsecureSkipTLSVerify:
		return errors.New("it does not verify the certificate of the API server, and the proxy always does")
	case cluster.ProxyURL != "":
		return errors.New("it asks for a proxy-url, which is not supported")
	}
	if u.URL == "" {
		u.URL = cluster.Server
	}
	if u.CAFile == "" {
		if u.ca = cluster.CertificateAuthorityData; len(u.ca) == 0 {
			u.CAFile = cluster.CertificateAuthority
		}
	}
	if u.ServerName == "" {
		u.ServerName = cluster.TLSServerName
	}
	return nil
}
