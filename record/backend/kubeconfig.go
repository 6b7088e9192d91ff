package backend

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// postTimeout bounds one attempt to send, its answer included. Upstream:
// pkg/util/webhook.
const postTimeout = 30 * time.Second

// loadKubeconfig reads the current context of a kubeconfig: TLS, credentials, proxy.
// Credentials are left out where the connection is not encrypted, as client-go does.
func loadKubeconfig(file string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
}

// newClient returns what sends to the receiver that c names, and the URL to send to.
// client-go reloads the files of certificates and tokens by itself.
func newClient(c *rest.Config) (*http.Client, string, error) {
	c = rest.CopyConfig(c)
	if c.Timeout <= 0 { // as it is in every kubeconfig, which cannot tell one
		c.Timeout = postTimeout
	}
	c.QPS = -1
	base, _, err := rest.DefaultServerUrlFor(c)
	if err != nil {
		return nil, "", err
	}
	client, err := rest.HTTPClientFor(c)
	if err != nil {
		return nil, "", err
	}
	client.CheckRedirect = checkRedirect
	u := url.URL{Scheme: base.Scheme, Host: base.Host, Path: path.Join("/", base.Path)}
	u.RawQuery = url.Values{"timeout": {c.Timeout.String()}}.Encode()
	return client, u.String(), nil
}

// checkRedirect follows a redirect within one server that keeps the method. Any other
// would turn the POST into a GET, whose answer says nothing about the events, or give
// events and credentials to somebody else.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case req.Method != first.Method:
		return http.ErrUseLastResponse
	case req.URL.Scheme != first.URL.Scheme, req.URL.Host != first.URL.Host:
		return fmt.Errorf("redirected to another server, %s", req.URL.Host)
	case len(via) >= 10:
		return errors.New("redirected ten times")
	}
	return nil
}
