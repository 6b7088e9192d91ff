package plane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// PKI is a certificate authority and the files it wrote into one directory.
type PKI struct {
	Dir string

	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

// NewPKI makes an authority in dir: ca.crt, and the keys service accounts need.
func NewPKI(dir string) (*PKI, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &PKI{Dir: dir, key: key}
	template := certificate(pkix.Name{CommonName: "kubetrail-e2e"})
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if p.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if err := p.write("ca.crt", "CERTIFICATE", der); err != nil {
		return nil, err
	}
	accounts, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&accounts.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := p.write("sa.pub", "PUBLIC KEY", public); err != nil {
		return nil, err
	}
	return p, p.writeKey("sa.key", accounts)
}

func certificate(name pkix.Name) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // the documentation of rand.Reader says that it never fails
	}
	return &x509.Certificate{
		Subject: name, SerialNumber: serial,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// Path returns where a file of the authority is.
func (p *PKI) Path(name string) string { return filepath.Join(p.Dir, name) }

// Issue writes name.crt and name.key for somebody of that name in those groups, good
// for clients and for servers on this machine.
func (p *PKI) Issue(name string, groups ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := certificate(pkix.Name{CommonName: name, Organization: groups})
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, template, p.ca, &key.PublicKey, p.key)
	if err != nil {
		return err
	}
	if err := p.write(name+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return p.writeKey(name+".key", key)
}

func (p *PKI) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return p.write(name, "EC PRIVATE KEY", der)
}

func (p *PKI) write(name, kind string, der []byte) error {
	return os.WriteFile(p.Path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// TLS returns what a client needs that trusts the authority, and shows a certificate if
// it has the name of one that was issued.
func (p *PKI) TLS(name string) (*tls.Config, error) {
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	c.RootCAs.AddCert(p.ca)
	if name == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(p.Path(name+".crt"), p.Path(name+".key"))
	c.Certificates = []tls.Certificate{pair}
	return c, err
}

// Kubeconfig writes a file for clients of the server at url: with the certificate of
// that name, or with a token.
func (p *PKI) Kubeconfig(path, url, name, token string) error {
	user := fmt.Sprintf("{client-certificate: %s, client-key: %s}", p.Path(name+".crt"), p.Path(name+".key"))
	if token != "" {
		user = fmt.Sprintf("{token: %s}", token)
	}
	return os.WriteFile(path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: e2e
  cluster: {server: %q, certificate-authority: %s}
users:
- name: me
  user: %s
contexts:
- name: e2e
  context: {cluster: e2e, user: me}
current-context: e2e
`, url, p.Path("ca.crt"), user), 0o600)
}
