package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// authority signs certificates in tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// newCA makes a CA and writes its certificate to dir/name.pem.
func newCA(t testing.TB, dir, name string) *authority {
	t.Helper()
	a := &authority{}
	der, key := sign(t, name, nil)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.key = cert, key
	writePEM(t, dir+"/"+name+".pem", "CERTIFICATE", der)
	return a
}

// newCert writes a certificate and its key to dir/name.crt and dir/name.key. Without
// an authority it is its own. A name CN/O gives the subject an organization as well.
func newCert(t testing.TB, dir, name string, by *authority) (certFile, keyFile string) {
	t.Helper()
	der, key := sign(t, name, by)
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name = strings.ReplaceAll(name, "/", "-")
	certFile, keyFile = dir+"/"+name+".crt", dir+"/"+name+".key"
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", b)
	return certFile, keyFile
}

func loadPair(t testing.TB, dir, name string, by *authority) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(newCert(t, dir, name, by))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// swap puts one certificate and key in the place of another.
func swap(t testing.TB, dir, fresh, old string) {
	t.Helper()
	for _, suffix := range []string{".crt", ".key"} {
		if err := os.Rename(dir+"/"+fresh+suffix, dir+"/"+old+suffix); err != nil {
			t.Fatal(err)
		}
	}
}

func sign(t testing.TB, name string, by *authority) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.Name{CommonName: name}
	if cn, org, ok := strings.Cut(name, "/"); ok {
		subject = pkix.Name{CommonName: cn, Organization: []string{"others", org}}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: by == nil,
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
