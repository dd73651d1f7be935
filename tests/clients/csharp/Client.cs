using System;
using System.Net.Http;
using System.Net.Http.Headers;
using Newtonsoft.Json;

/// <summary>
/// Scores two rows. Environment: SCORING_URI, KEY (a key or a token).
/// The certificate authority is trusted outside of the program: .NET on Linux reads SSL_CERT_FILE; Mono has a store of
/// its own, filled once by `cert-sync --user ca.crt`, and compares host names only: call localhost, not 127.0.0.1.
/// </summary>
internal static class Client
{
    private static readonly double[,] Rows =
    {
        {
            0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396,
            -0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807
        },
        {
            -0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293,
            0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303
        }
    };

    private static int Main()
    {
        using (var client = new HttpClient())
        {
            client.Timeout = TimeSpan.FromSeconds(10);
            client.DefaultRequestHeaders.Authorization =
                new AuthenticationHeaderValue("Bearer", Environment.GetEnvironmentVariable("KEY"));
            var content = new StringContent(JsonConvert.SerializeObject(new { data = Rows }));
            content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            var response = client.PostAsync(Environment.GetEnvironmentVariable("SCORING_URI"), content).Result;
            var answer = response.Content.ReadAsStringAsync().Result;
            if (!response.IsSuccessStatusCode)
            {
                Console.Error.WriteLine("{0} {1}: {2}", (int)response.StatusCode, response.ReasonPhrase, answer);
                return 1;
            }
            Console.WriteLine(answer);
            return 0;
        }
    }
}
