# `make help` lists the targets. Variables: WORKERS, EPOCHS, BATCH_PER_WORKER, MODELS, DATA, SOURCE, FRESH, FLOOR,
# TOLERANCE; `make serve` listens on HTTP_PORT and GRPC_PORT.
# On a cluster: IMAGE, CLUSTER, CLUSTER_TOOL (kind or k3d), LOAD_IMAGE (takes an image from Docker to the nodes),
# CLUSTER_TESTS.
# They count on the command line alone: another program's DATA or MODELS in the environment changes nothing here.
# PYTHON, which counts in both places, names what makes the environment; environment.sh reads it.
DATA := ./trained_model
WORKERS := 2
EPOCHS :=
BATCH_PER_WORKER :=
MODELS :=
SOURCE := auto
FRESH := 0
FLOOR :=
TOLERANCE :=
HTTP_PORT := 8080
GRPC_PORT := 8081
RUN := .venv/bin/python
# One word of the shell, whatever blanks and quotes are in it.
quoted = '$(subst ','\'',$(1))'

IMAGE := kubeflow/multi-worker-strategy:v0.1
CLUSTER := distml
CLUSTER_TOOL := kind
KUBECTL := kubectl --namespace=kubeflow
CLUSTER_TESTS := cluster
ifeq ($(CLUSTER_TOOL),k3d)
CREATE_CLUSTER := k3d cluster create $(CLUSTER)
DELETE_CLUSTER := k3d cluster delete $(CLUSTER)
LOAD_IMAGE := k3d image import --cluster $(CLUSTER)
else
CREATE_CLUSTER := kind create cluster --name $(CLUSTER)
DELETE_CLUSTER := kind delete cluster --name $(CLUSTER)
LOAD_IMAGE := kind load docker-image --name $(CLUSTER)
endif

# Another project's PYTHONPATH, PYTHONSAFEPATH, PYTHONOPTIMIZE or PYTHONWARNINGS would break our programs, so none of
# Python's variables reaches them but these. What they read and print is UTF-8 wherever they run.
unexport PYTHONPATH $(filter-out PYTHON PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX, \
  $(filter PYTHON%,$(.VARIABLES)))
export PYTHONUTF8 := 1

ifneq ($(filter-out 0 1,$(FRESH)),)
$(error FRESH is $(FRESH); expected 1, to start over, or 0)
endif

.PHONY: help doctor run serve test lint format bench clean requirements cluster image install train serving workflow \
  clean-workflows test-cluster clean-cluster

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

doctor: ## what this machine has and lacks for `make run`
	@sh environment.sh doctor --volume $(call quoted,$(DATA)) --source $(call quoted,$(SOURCE)) \
	  --workers $(call quoted,$(WORKERS)) --http-port $(call quoted,$(HTTP_PORT)) --grpc-port $(call quoted,$(GRPC_PORT))

run: ## ingest, train three models on real workers, select, publish, report
	@sh environment.sh run
	@$(RUN) src/local_pipeline.py --volume $(call quoted,$(DATA)) --workers $(call quoted,$(WORKERS)) \
	  --source $(call quoted,$(SOURCE)) $(if $(EPOCHS),--epochs $(call quoted,$(EPOCHS))) \
	  $(if $(BATCH_PER_WORKER),--batch-per-worker $(call quoted,$(BATCH_PER_WORKER))) \
	  $(if $(MODELS),--models $(call quoted,$(MODELS))) $(if $(FLOOR),--accuracy-floor $(call quoted,$(FLOOR))) \
	  $(if $(TOLERANCE),--tolerance $(call quoted,$(TOLERANCE))) $(if $(filter 1,$(FRESH)),--fresh)

serve: ## the newest published model on http://localhost:8080, gRPC on 8081
	@sh environment.sh run
	@$(RUN) src/serve.py --volume $(call quoted,$(DATA)) --http-port $(call quoted,$(HTTP_PORT)) \
	  --grpc-port $(call quoted,$(GRPC_PORT))

test: ## every test that needs no cluster
	@sh environment.sh dev
	$(RUN) -m pytest -m "not cluster"

lint: ## ruff, mypy, and who imports whom
	@sh environment.sh dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	cd src && ../.venv/bin/lint-imports ../pyproject.toml --no-cache --no-logo

format: ## let ruff rewrite the layout of the code
	@sh environment.sh dev
	.venv/bin/ruff check --fix --exit-zero .
	.venv/bin/ruff format .

bench: ## measure ratios side by side; results in bench/results/
	@sh environment.sh bench
	$(RUN) bench/pipeline.py
	$(RUN) bench/training.py --volume $(call quoted,$(DATA))
	$(RUN) bench/serving.py --volume $(call quoted,$(DATA))

clean: ## remove the environments and what tests leave; the volume $(DATA) stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis

requirements: ## pin requirements/*.in again, for Linux (x86-64, arm64) and macOS (arm64)
	for name in run dev bench; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    --no-emit-find-links requirements/$$name.in -o requirements/$$name.txt || exit; done
	sed -E '/^tensorflow-cpu==/d; s/^tensorflow==([^;]*);.*/tensorflow[and-cuda]==\1/' requirements/run.in | \
	  uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-emit-package backports-strenum \
	    --constraint requirements/run.txt - -o requirements/run-gpu.txt

cluster: ## create a cluster by kind (or CLUSTER_TOOL=k3d)
	$(CREATE_CLUSTER)

image: ## build the image and load it into the cluster
	docker build -f Dockerfile -t $(IMAGE) .
	$(LOAD_IMAGE) $(IMAGE)

install: ## install the controllers, make the claim, switch kubectl to the namespace
	kubectl get namespace kubeflow >/dev/null 2>&1 || kubectl create ns kubeflow
	kubectl kustomize manifests | kubectl apply -f -
	kubectl config set-context --current --namespace=kubeflow
	$(KUBECTL) rollout status deployment/training-operator --timeout=5m
	$(KUBECTL) get pvc strategy-volume >/dev/null 2>&1 || $(KUBECTL) create -f multi-worker-pvc.yaml

train: ## train one model as a TFJob on two workers, following worker 0
	$(KUBECTL) delete tfjob multi-worker-training --ignore-not-found --cascade=foreground
	$(KUBECTL) create -f multi-worker-tfjob.yaml
	$(KUBECTL) wait --for=create pod/multi-worker-training-worker-0
	$(KUBECTL) wait --for=condition=Ready pod/multi-worker-training-worker-0 --timeout=10m
	-$(KUBECTL) logs --follow multi-worker-training-worker-0
	$(KUBECTL) wait --for=jsonpath='{.status.completionTime}' tfjob/multi-worker-training --timeout=65m
	$(KUBECTL) wait --for=condition=Succeeded tfjob/multi-worker-training --timeout=1s

serving: ## install the predictor's runtime; needs KServe
	kubectl kustomize manifests/serving | kubectl apply -f -

workflow: ## run the workflow once and wait for its end
	name=$$($(KUBECTL) create -f workflow.yaml --output=name) && \
	while status=$$($(KUBECTL) get $$name --output=jsonpath='{.status.phase} {.status.progress} {.status.message}') || exit; \
	do [ "$$status" = "$$told" ] || echo "$$name: $$status"; told=$$status; \
	  case $$status in Succeeded*) exit;; Failed*|Error*) exit 1;; esac; sleep 10; done

clean-workflows: ## delete workflows, their jobs, the service, helper pods, and the claim with all data on it
	-$(KUBECTL) delete workflow --all
	$(KUBECTL) delete tfjob --all
	-$(KUBECTL) delete inferenceservice flower-sample --ignore-not-found
	$(KUBECTL) delete pod --selector=serving.kserve.io/inferenceservice=flower-sample --force --grace-period=0
	$(KUBECTL) delete pod access-model predict-service --ignore-not-found
	$(KUBECTL) delete pvc strategy-volume --ignore-not-found

test-cluster: ## the tests that need a cluster (CLUSTER_TESTS='cluster and not thorough': the shorter ones)
	@sh environment.sh dev
	if kubectl get --raw=/readyz >/dev/null; then $(MAKE) image; fi
	$(RUN) -m pytest -m $(call quoted,$(CLUSTER_TESTS)) -v

clean-cluster: ## delete the cluster with everything in it
	$(DELETE_CLUSTER)

