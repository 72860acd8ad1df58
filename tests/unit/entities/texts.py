"""Documents that several tests read: F1 to F5 of the scenarios, and the example of a bad one."""

from __future__ import annotations

F1 = """\
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: fraud-endpoint
model: azureml:fraud-model:3
code_configuration:
  code: ./src
  scoring_script: score.py
environment: azureml:fraud-infer:2
instance_type: Standard_DS2_v2
instance_count: 1
"""

F2 = (
    F1.replace("instance_count: 1", "instance_count: 2")
    + """\
request_settings:
  request_timeout_ms: 3000
  max_concurrent_requests_per_instance: 10
  max_queue_wait_ms: 500
liveness_probe: {initial_delay: 30, period: 10, timeout: 2, success_threshold: 1, failure_threshold: 30}
readiness_probe: {initial_delay: 30, period: 10, timeout: 2, success_threshold: 1, failure_threshold: 10}
data_collector:
  collections:
    request:
      enabled: true
    response:
      enabled: true
"""
)

F3 = """\
name: blue
endpoint_name: fraud-endpoint
scale_settings:
  type: target_utilization
  min_instances: 2
  max_instances: 10
  target_utilization_percentage: 70
  polling_interval: 30
  cooldown_period: 120
"""

F4 = """\
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
name: fraud-endpoint
auth_mode: key
identity:
  type: system_assigned
"""

F5 = """\
request_settings:
  max_concurrent_requests_per_instance: 20
  request_timeout_ms: 5000
"""

BAD = """\
name: blue
endpoint_name: fraud-endpoint
model: azureml:fraud-model:3
code_configuration:
  code: ./src
  scoring_scrpt: score.py
environment: azureml:fraud-infer:2
instance_type: Standard_DS2_v2
instance_count: two
# as measured in November
request_settings:
 request_timeout_ms: 999999
"""
