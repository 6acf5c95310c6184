"""What a person looks at: the page of the models, the documentation; all from this host."""

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from api.pages.rendering import render
from api.routes.deps import CatalogueDep

# Nothing may be fetched from another host: no script, style, image or font.
OWN_ONLY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": OWN_ONLY, "X-Content-Type-Options": "nosniff"}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index(catalogue: CatalogueDep, model: str | None = None) -> HTMLResponse:
    """The models that are served, and a form of one of them: `?model=`, or else the default."""
    entries = catalogue.entries()
    name = model or catalogue.default_name
    shown = catalogue.entry(name) if name is not None and entries else None
    if model is None and not (shown and shown.ready):  # one that answers, where there is one
        shown = next(
            (entry for entry in entries if entry.ready), shown or next(iter(entries), None)
        )
    return HTMLResponse(render(catalogue, shown=shown), headers=HEADERS)


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The OpenAPI document as pages on which requests can be tried."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Treeline API",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon.png",
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
    page.headers.update(HEADERS)
    return page


# Where people look who knew services with prepared answers at these paths; relative, for a prefix.
@router.get("/about")
async def about() -> RedirectResponse:
    """The page says what the models are about."""
    return RedirectResponse("./")


@router.get("/help")
async def help_page() -> RedirectResponse:
    """The documentation helps."""
    return RedirectResponse("docs")


def mount_assets(app: FastAPI) -> None:
    """Serve the files of Swagger UI as the package fastapi-offline ships them."""
    app.mount("/docs/assets", StaticFiles(packages=[("fastapi_offline", "static")]))
