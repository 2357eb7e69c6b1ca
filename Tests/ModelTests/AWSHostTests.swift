import Model
import Testing

/// What the names of S3's endpoints tell.
@Suite struct AWSHostTests {
    private func text(_ host: String) -> String {
        guard let found = AWSHost(host) else { return "other" }
        return [
            found.region ?? "-", found.isFIPS ? "fips" : "", found.isVPCEndpoint ? "vpc" : "", found.bucket ?? "",
        ].filter { !$0.isEmpty }.joined(separator: " ")
    }

    @Test(arguments: [
        ("s3.us-east-1.amazonaws.com", "us-east-1"), ("s3.amazonaws.com", "us-east-1"),
        ("s3-us-west-2.amazonaws.com", "us-west-2"), ("s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1 fips"),
        ("s3-fips.dualstack.us-east-2.amazonaws.com", "us-east-2 fips"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"), ("s3.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ("audit.s3.us-east-1.amazonaws.com", "us-east-1 audit"), ("a.b.s3.amazonaws.com", "us-east-1 a.b"),
        ("bucket.vpce-1a-2b.s3.us-gov-east-1.vpce.amazonaws.com", "us-gov-east-1 vpc"),
        ("s3-accelerate.amazonaws.com", "-"), ("minio.example.com", "other"), ("127.0.0.1", "other"),
        ("amazonaws.com", "other"), ("s3.us-east-1.amazonaws.com.evil.example", "other"),
        ("evilamazonaws.com", "other"),
    ])
    func hosts(host: String, expected: String) { #expect(text(host) == expected) }

    @Test func regionalNames() {
        #expect(AWSHost.s3(region: "us-gov-west-1", fips: true) == "s3-fips.us-gov-west-1.amazonaws.com")
        #expect(AWSHost.s3(region: "cn-north-1", fips: false) == "s3.cn-north-1.amazonaws.com.cn")
        #expect(AWSHost.s3(region: "us-isob-east-1", fips: true) == "s3-fips.us-isob-east-1.sc2s.sgov.gov")
        #expect(AWSHost.sts(region: "us-iso-east-1", fips: false) == "sts.us-iso-east-1.c2s.ic.gov")
        for region in ["us-east-1", "us-gov-east-1", "ca-west-1"] { #expect(AWSHost.hasFIPS(region: region)) }
        #expect(!AWSHost.hasFIPS(region: "eu-central-1"))
        for name in ["us-east-1", "us-gov-west-1", "ap-southeast-12"] { #expect(AWSHost.isRegion(name)) }
        for name in ["", "us-east", "us--1", "US-EAST-1", "1-2-3", "us-east-1a", "minio"] {
            #expect(!AWSHost.isRegion(name))
        }
    }
}
