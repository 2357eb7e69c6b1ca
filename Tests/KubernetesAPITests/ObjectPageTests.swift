import KubernetesAPI
import Testing
