import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import org.apache.http.HttpResponse;
import org.apache.http.client.fluent.Executor;
import org.apache.http.client.fluent.Request;
import org.apache.http.entity.ContentType;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.ssl.SSLContexts;
import org.apache.http.util.EntityUtils;
import org.json.simple.JSONArray;
import org.json.simple.JSONObject;

/** Scores two rows. Environment: SCORING_URI, KEY (a key or a token), CA (PEM file to trust). */
public class Client {
    private static final double[][] ROWS = {
        {0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396,
         -0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807},
        {-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293,
         0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303},
    };

    @SuppressWarnings("unchecked") // json-simple's lists and maps have no type parameters
    private static String document() {
        JSONArray data = new JSONArray();
        for (double[] row : ROWS) {
            JSONArray values = new JSONArray();
            for (double value : row) {
                values.add(value);
            }
            data.add(values);
        }
        JSONObject document = new JSONObject();
        document.put("data", data);
        return document.toJSONString();
    }

    private static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream pem = Files.newInputStream(Path.of(file))) {
            Certificate authority = CertificateFactory.getInstance("X.509").generateCertificate(pem);
            store.setCertificateEntry("authority", authority);
        }
        return SSLContexts.custom().loadTrustMaterial(store, null).build();
    }

    public static void main(String[] arguments) throws Exception {
        SSLContext context = trusting(System.getenv("CA"));
        HttpResponse response = Executor.newInstance(HttpClients.custom().setSSLContext(context).build())
            .execute(Request.Post(System.getenv("SCORING_URI"))
                .connectTimeout(10_000)
                .socketTimeout(10_000)
                .addHeader("Authorization", "Bearer " + System.getenv("KEY"))
                .bodyString(document(), ContentType.APPLICATION_JSON))
            .returnResponse();
        String answer = EntityUtils.toString(response.getEntity(), StandardCharsets.UTF_8);
        if (response.getStatusLine().getStatusCode() != 200) {
            System.err.println(response.getStatusLine() + ": " + answer);
            System.exit(1);
        }
        System.out.println(answer);
    }
}
