package loader;

import dev.weir.plugin.Certificate;
import dev.weir.plugin.Plugin;
import java.io.StringWriter;
import java.math.BigInteger;
import java.security.KeyPairGenerator;
import java.security.spec.ECGenParameterSpec;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Date;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/** Gives a certificate that it has made itself: the key is in this process and in Weir's, and on no disk. */
public final class Main {
  private static Certificate make(String name) throws Exception {
    var generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp256r1"));
    var keys = generator.generateKeyPair();
    var subject = new X500Name("CN=" + name);
    var now = Instant.now();
    var certificate =
        new JcaX509v3CertificateBuilder(
                subject,
                BigInteger.valueOf(now.toEpochMilli()),
                Date.from(now.minus(1, ChronoUnit.MINUTES)),
                Date.from(now.plus(7, ChronoUnit.DAYS)),
                subject,
                keys.getPublic())
            .addExtension(Extension.subjectAlternativeName, false, new GeneralNames(new GeneralName(GeneralName.dNSName, name)))
            .build(new JcaContentSignerBuilder("SHA256withECDSA").build(keys.getPrivate()));
    return new Certificate(pem(certificate), pem(new JcaPKCS8Generator(keys.getPrivate(), null)), "");
  }

  private static String pem(Object object) throws Exception {
    var text = new StringWriter();
    try (var writer = new JcaPEMWriter(text)) {
      writer.writeObject(object);
    }
    return text.toString();
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, Certificate> made = new ConcurrentHashMap<>();
    new Plugin()
        .certificates(
            (serverName, listener, config) -> {
              String name = serverName.isEmpty() ? "localhost" : serverName;
              if (!made.containsKey(name)) made.put(name, make(name));
              return made.get(name);
            })
        .serve();
  }
}
