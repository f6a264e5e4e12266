# `make help` lists the targets. These are the variables that make accepts on its command line. Of the environment's
# variables only PYTHON counts, which environment.sh reads: another program's DATA or MODELS changes nothing here.
VARIABLES := DATA WORKERS EPOCHS BATCH_PER_WORKER LEARNING_RATE PRECISION MODELS SEEDS SOURCE FRESH FLOOR CLASS_FLOOR \
  TOLERANCE HOST HTTP_PORT GRPC_PORT RELEASE TO REASON SIGNING_KEY \
  PUBLIC_KEY PYTHON PART IMAGE CLUSTER CLUSTER_TOOL LOAD_IMAGE
# Refuse a misspelt variable, which make would ignore. The origin of a variable given to make is "command line".
given := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
unknown := $(sort $(filter-out $(VARIABLES),$(given)))
ifneq ($(unknown),)
$(error no such variable: $(unknown); expected one of $(VARIABLES))
endif
# Take each value as it is: a $ in it refers to no other variable. A line break would end the shell's command.
define newline


endef
$(foreach name,$(given),$(if $(findstring $(newline),$(value $(name))),$(error $(name) has a line break; expected one line)))
$(foreach name,$(filter-out PYTHON,$(given)),$(eval override $(name) := $$(value $(name))))

DATA := ./trained_model
WORKERS := 2
EPOCHS :=
BATCH_PER_WORKER :=
LEARNING_RATE :=
PRECISION :=
MODELS :=
SEEDS :=
SOURCE := auto
FRESH := 0
FLOOR :=
CLASS_FLOOR :=
TOLERANCE :=
HOST := localhost
HTTP_PORT := 8080
GRPC_PORT := 8081
RELEASE :=
TO :=
REASON :=
SIGNING_KEY :=
PUBLIC_KEY :=
PART := hour
RUN := .venv/bin/python
# Quote $(1) as one word for the shell, whatever blanks and quotes it contains.
quoted = '$(subst ','\'',$(1))'

IMAGE := kubeflow/multi-worker-strategy:v0.1
CLUSTER := distml
# CLUSTER_TOOL is kind or k3d.
CLUSTER_TOOL := kind
KUBECTL := kubectl --namespace=kubeflow
# LOAD_IMAGE is the command that loads an image from Docker into the cluster's nodes. The nodes run the Kubernetes
# version of the tests, because the tools' defaults are newer or older; see docs/upgrading.md.
ifeq ($(CLUSTER_TOOL),k3d)
CREATE_CLUSTER := k3d cluster create $(CLUSTER) --image rancher/k3s:v1.34.9-k3s1
DELETE_CLUSTER := k3d cluster delete $(CLUSTER)
LOAD_IMAGE := k3d image import --cluster $(CLUSTER)
else
CREATE_CLUSTER := kind create cluster --name $(CLUSTER) --image kindest/node:v1.34.11
DELETE_CLUSTER := kind delete cluster --name $(CLUSTER)
LOAD_IMAGE := kind load docker-image --name $(CLUSTER)
endif

# Print the progress of the workflow $$name until it ends. If it fails, print the messages of its failed pods, because
# Argo does not pass them on to the workflow.
define wait_for_workflow
while status=$$($(KUBECTL) get $$name --output=jsonpath='{.status.phase} {.status.progress} {.status.message}') || exit; \
do [ "$$status" = "$$shown" ] || echo "$$name: $$status"; shown=$$status; \
  case $$status in Succeeded*) exit;; Failed*|Error*) \
    $(KUBECTL) get $$name --output=go-template='{{range .status.nodes}}{{if and (eq .type "Pod") (ne .phase "Succeeded") .message}}{{.displayName}}: {{.message}}{{"\n"}}{{end}}{{end}}'; \
    exit 1;; \
  esac; sleep 10; done
endef

# A workflow as Argo makes it from a CronWorkflow. By the owner, the CronWorkflow counts it, and starts no other meanwhile.
define retraining
apiVersion: {.apiVersion}
kind: Workflow
metadata:
  generateName: {.metadata.name}-
  labels:
    workflows.argoproj.io/cron-workflow: {.metadata.name}
  ownerReferences:
    - apiVersion: {.apiVersion}
      kind: CronWorkflow
      name: {.metadata.name}
      uid: {.metadata.uid}
      controller: true
      blockOwnerDeletion: true
spec: {.spec.workflowSpec}
endef
export retraining

# Another project's PYTHONPATH, PYTHONSAFEPATH, PYTHONOPTIMIZE or PYTHONWARNINGS would break the scripts. Of Python's
# variables, make passes on only those named here. The scripts read and print UTF-8 in every locale.
unexport PYTHONPATH $(filter-out PYTHON PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX, \
  $(filter PYTHON%,$(.VARIABLES)))
export PYTHONUTF8 := 1
# The default of Docker 29, the containerd image store, puts an attestation beside an image; kind load may reject it.
export BUILDX_NO_DEFAULT_ATTESTATIONS := 1

ifneq ($(filter-out 0 1,$(FRESH)),)
$(error FRESH is $(FRESH); expected 1, to start over, or 0)
endif

.PHONY: help doctor run serve history roll-back test test-hostile reliability lint format bench clean requirements sbom scan cluster image install train serving \
  workflow workflow-template retrain dashboard clean-workflows test-cluster clean-cluster

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s%s\n", $$1, $$2 } \
	  END { print "variables, as in make run WORKERS=3 (README.md and docs explain them): $(VARIABLES)" }' $(MAKEFILE_LIST)

doctor: ## check this machine for `make run`: Python, processor, memory, disk, data, ports
	@sh environment.sh doctor --volume $(call quoted,$(DATA)) --source $(call quoted,$(SOURCE)) \
	  --workers $(call quoted,$(WORKERS)) --http-port $(call quoted,$(HTTP_PORT)) --grpc-port $(call quoted,$(GRPC_PORT))

run: ## ingest, train three models on real workers, select, publish, report
	@sh environment.sh run
	@$(RUN) src/local_pipeline.py --volume $(call quoted,$(DATA)) --workers $(call quoted,$(WORKERS)) \
	  --source $(call quoted,$(SOURCE)) $(if $(EPOCHS),--epochs $(call quoted,$(EPOCHS))) \
	  $(if $(BATCH_PER_WORKER),--batch-per-worker $(call quoted,$(BATCH_PER_WORKER))) \
	  $(if $(LEARNING_RATE),--learning-rate $(call quoted,$(LEARNING_RATE))) \
	  $(if $(PRECISION),--precision $(call quoted,$(PRECISION))) \
	  $(if $(MODELS),--models $(call quoted,$(MODELS))) $(if $(SEEDS),--seeds $(call quoted,$(SEEDS))) \
	  $(if $(FLOOR),--accuracy-floor $(call quoted,$(FLOOR))) \
	  $(if $(CLASS_FLOOR),--class-floor $(call quoted,$(CLASS_FLOOR))) \
	  $(if $(TOLERANCE),--tolerance $(call quoted,$(TOLERANCE))) $(if $(filter 1,$(FRESH)),--fresh) \
	  $(if $(SIGNING_KEY),--signing-key $(call quoted,$(SIGNING_KEY)))

serve: ## serve the newest published model at HOST (localhost): HTTP on HTTP_PORT (8080), gRPC on GRPC_PORT (8081)
	@sh environment.sh run
	@$(RUN) src/serve.py --volume $(call quoted,$(DATA)) --host $(call quoted,$(HOST)) --http-port $(call quoted,$(HTTP_PORT)) \
	  --grpc-port $(call quoted,$(GRPC_PORT)) $(if $(RELEASE),--release $(call quoted,$(RELEASE))) \
	  $(if $(PUBLIC_KEY),--public-key $(call quoted,$(PUBLIC_KEY)))

history: ## print what happened to each published version
	@sh environment.sh run
	@$(RUN) src/pipeline_admin.py history --volume $(call quoted,$(DATA))

roll-back: ## go back to the version before the newest, or to version TO, and record REASON
	@sh environment.sh run
	@$(RUN) src/pipeline_admin.py roll-back --volume $(call quoted,$(DATA)) $(if $(TO),--to=$(call quoted,$(TO))) \
	  $(if $(REASON),--reason=$(call quoted,$(REASON))) $(if $(PUBLIC_KEY),--public-key=$(call quoted,$(PUBLIC_KEY)))

test: ## run every test that needs no cluster, except test-hostile
	@sh environment.sh dev
	$(RUN) -m pytest -m "not cluster and not hostile"

test-hostile: ## send 20,000 requests, most of them hostile, to a predictor on this machine
	@sh environment.sh dev
	$(RUN) -m pytest -m hostile tests/serving/test_hostile_requests.py

reliability: ## try to break each promise; results in docs/reliability.md (PART=quick, hour or night)
	@sh environment.sh dev
	$(RUN) -m pytest --part=$(call quoted,$(PART)) tests/reliability

lint: ## run ruff and mypy, and check the rules for imports
	@sh environment.sh dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	cd src && ../.venv/bin/lint-imports ../pyproject.toml --no-cache --no-logo

format: ## let ruff fix and format the code
	@sh environment.sh dev
	.venv/bin/ruff check --fix --exit-zero .
	.venv/bin/ruff format .

bench: ## run the benchmarks side by side; results in bench/results/
	@sh environment.sh bench
	$(RUN) bench/pipeline.py
	$(RUN) bench/training.py --volume $(call quoted,$(DATA))
	$(RUN) bench/accuracy.py --volume $(call quoted,$(DATA))
	$(RUN) bench/serving.py --volume $(call quoted,$(DATA))
	$(RUN) bench/releases.py --volume $(call quoted,$(DATA))
	$(RUN) bench/growth.py --volume $(call quoted,$(DATA))

clean: ## remove .venv and the tools' caches, not the volume (DATA)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis

requirements: ## pin the packages of requirements/*.in for Linux (x86-64, arm64) and macOS (arm64)
	for name in run dev bench security checkov peers/mlserver peers/litserve peers/bentoml peers/ray-serve; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    --no-emit-find-links requirements/$$name.in -o requirements/$$name.txt || exit; done
	sed -E '/^tensorflow-cpu==/d; s/^tensorflow==([^;]*);.*/tensorflow[and-cuda]==\1/' requirements/run.in | \
	  uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-emit-package backports-strenum \
	    --constraint requirements/run.txt - -o requirements/run-gpu.txt

sbom: ## write the bill of materials of the image to sbom.json, and print the licences; needs docker
	@sh environment.sh dev
	@$(RUN) security/sbom.py --image $(call quoted,$(IMAGE))

scan: ## look for weak settings in the manifests, and for known holes in the pinned packages
	@sh environment.sh dev
	@$(RUN) security/scan.py manifests packages

cluster: ## create a cluster with kind (or CLUSTER_TOOL=k3d)
	$(CREATE_CLUSTER)

image: ## build the image and load it into the cluster
	docker build -f Dockerfile -t $(IMAGE) .
	$(LOAD_IMAGE) $(IMAGE)

install: ## install the controllers, create the claim, switch kubectl to the namespace
	python3 manifests/check_cluster.py before
	kubectl get namespace kubeflow >/dev/null 2>&1 || kubectl create ns kubeflow
	kubectl kustomize manifests | kubectl apply -f -
	kubectl config set-context --current --namespace=kubeflow
	$(KUBECTL) rollout status deployment/training-operator --timeout=5m
	$(KUBECTL) get pvc strategy-volume >/dev/null 2>&1 || $(KUBECTL) create -f multi-worker-pvc.yaml
	python3 manifests/check_cluster.py after

train: ## train one model as a TFJob on two workers, and follow worker 0's log
	$(KUBECTL) delete tfjob multi-worker-training --ignore-not-found --cascade=foreground
	$(KUBECTL) create -f multi-worker-tfjob.yaml
	$(KUBECTL) wait --for=create pod/multi-worker-training-worker-0
	$(KUBECTL) wait --for=condition=Ready pod/multi-worker-training-worker-0 --timeout=10m
	-$(KUBECTL) logs --follow multi-worker-training-worker-0
	$(KUBECTL) wait --for=jsonpath='{.status.completionTime}' tfjob/multi-worker-training --timeout=65m
	$(KUBECTL) wait --for=condition=Succeeded tfjob/multi-worker-training --timeout=1s

serving: ## install the predictor's runtime; needs KServe
	kubectl kustomize manifests/serving | kubectl apply -f -

workflow: ## run the workflow once and wait until it ends
	@name=$$($(KUBECTL) create -f workflow.yaml --output=name) && $(wait_for_workflow)

workflow-template: ## make workflow-template.yaml, which retrain.yaml starts, from workflow.yaml
	{ echo '# Made from workflow.yaml by `make workflow-template`: edit that file. retrain.yaml starts it.'; \
	  sed -e 's/^# Create: .*/# Create: kubectl apply -f workflow-template.yaml/' -e 's/^kind: Workflow$$/&Template/' \
	    -e 's/^  generateName: distml-$$/  name: distml/' workflow.yaml; } >workflow-template.yaml

retrain: ## start the workflow of the CronWorkflow retrain now, wait until it ends, and say whether it trained
	@name=$$($(KUBECTL) get cronworkflow retrain --output=jsonpath="$$retraining" | \
	  $(KUBECTL) create -f - --output=name) && ($(wait_for_workflow)) && \
	$(KUBECTL) get $$name --output=go-template='{{range .status.nodes}}{{if eq .displayName "check"}}{{range .outputs.parameters}}{{.name}}: {{.value}}{{"\n"}}{{end}}{{end}}{{end}}'

dashboard: ## show TensorBoard and the reports of the claim at http://localhost:6006 and http://localhost:6007
	@$(KUBECTL) get pvc strategy-volume --output=name >/dev/null
# A pod that has ended, because it was evicted for example, would never be ready.
	@$(KUBECTL) delete pod --field-selector='metadata.name=tensorboard,status.phase!=Pending,status.phase!=Running' >/dev/null
	@$(KUBECTL) get pod tensorboard >/dev/null 2>&1 || $(KUBECTL) create -f tensorboard.yaml
	@$(KUBECTL) wait --for=condition=Ready pod/tensorboard --timeout=3m || { \
	  $(KUBECTL) get events --field-selector=involvedObject.name=tensorboard; \
	  echo "the pod is not ready: correct what its events name, then run: $(KUBECTL) delete pod tensorboard; make dashboard"; exit 1; }
	@echo "TensorBoard: http://localhost:6006   reports: http://localhost:6007   (Ctrl-C ends the connection)"
	@$(KUBECTL) port-forward --address=127.0.0.1 pod/tensorboard 6006 6007

clean-workflows: ## delete the workflows, their jobs, the service, the helper pods, and the claim with all its data
	-$(KUBECTL) delete cronworkflow/retrain workflowtemplate/distml --ignore-not-found
	-$(KUBECTL) delete workflow --all
	$(KUBECTL) delete tfjob --all
	$(KUBECTL) delete -f multi-worker-job.yaml --ignore-not-found
	-$(KUBECTL) delete inferenceservice flower-sample --ignore-not-found
	$(KUBECTL) delete pod --selector=serving.kserve.io/inferenceservice=flower-sample --force --grace-period=0
	$(KUBECTL) delete pod access-model predict-service tensorboard --ignore-not-found
	$(KUBECTL) delete pvc strategy-volume --ignore-not-found

test-cluster: ## run the tests that need a cluster
	@sh environment.sh dev
	if kubectl get --raw=/readyz >/dev/null; then $(MAKE) image; fi
	$(RUN) -m pytest -m cluster -v

clean-cluster: ## delete the cluster with everything in it
	$(DELETE_CLUSTER)

